"""What an update changed and what it left, read back from dpkg and apt."""

from broker.contract.update_report import UpdateReport, found
from node_agent.packages import changes, pending, start_command, summary, versions

BEFORE = "libssl3 3.0.14-1\nlinux-image-rpi-v8 1:6.6.31\nvim 2:9.0\nremoved \n"
AFTER = (
    "libssl3 3.0.15-1\nlinux-image-rpi-v8 1:6.12.34\n"
    "linux-image-6.12.34 6.12.34\nvim 2:9.0\n"
)
SIMULATION = """\
NOTE: This is only a simulation!
Reading package lists...
The following packages have been kept back:
  firefox
The following packages will be upgraded:
  openssl
1 upgraded, 0 newly installed, 0 to remove and 1 not upgraded.
Inst openssl [3.0.14-1] (3.0.15-1 Debian-Security:12/stable-security [arm64])
Conf openssl (3.0.15-1 Debian-Security:12/stable-security [arm64])
"""


def test_versions_are_read_and_what_is_only_a_memory_is_not() -> None:
    assert versions("a 1:2.0-1\nb \n\n") == {"a": "1:2.0-1"}


def test_a_change_is_another_version_or_a_package_that_came_or_went() -> None:
    assert changes(versions(BEFORE), versions(AFTER)) == [
        "libssl3 3.0.14-1 -> 3.0.15-1",
        "linux-image-6.12.34 none -> 6.12.34",
        "linux-image-rpi-v8 1:6.6.31 -> 1:6.12.34",
    ]
    assert changes({"a": "1"}, {}) == ["a 1 -> none"]


def test_pending_is_what_apt_would_install_not_what_it_keeps_back() -> None:
    assert pending(SIMULATION) == ["openssl"]
    assert pending("0 upgraded, 0 newly installed") == []


def test_the_summary_ends_with_what_matters() -> None:
    lines = list(summary(["a 1 -> 2"], [], reboot=True))
    assert lines == [
        "a 1 -> 2",
        "packages changed: 1; updates left: 0",
        "a reboot is needed for some of them",
    ]
    (line,) = summary([], ["b", "c"], reboot=False)
    assert line == "packages changed: 0; updates left: 2: b, c"


def test_what_the_summary_says_is_found_again_in_the_tail_of_an_output() -> None:
    said = "\n".join(["Setting up a (2)", *summary(["a 1 -> 2"], [], reboot=True)])
    assert found(said) == UpdateReport(changed=1, left=0, reboot=True)
    assert found("\n".join(summary([], ["b", "c"], reboot=False))) == UpdateReport(0, 2)
    assert found("0 upgraded, 0 newly installed") is None


def test_a_long_list_of_changes_is_cut_and_says_so() -> None:
    lines = list(summary([str(number) for number in range(50)], [], reboot=False))
    assert lines[-2:] == ["… and 30 more", "packages changed: 50; updates left: 0"]


def test_sudo_is_asked_only_where_it_is_wanted() -> None:
    command = ("systemctl", "--no-ask-password", "start", "pirack-update.service")
    assert start_command("upgrade", sudo=False) == command
    assert start_command("upgrade", sudo=True) == ("sudo", "-n", *command)
