"""``pirack seed``: what a card is told, and that nothing of a person's is lost."""

import base64
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # comes with the page's server

from broker.common.errors import ConfigError
from pirack import distribution
from pirack.bundle import BoardId
from pirack.cli import main
from pirack.seed import card
from pirack.seed.card import ARCHIVE, HOOK, Card, System, pack

KEY = f"ssh-ed25519 {base64.b64encode(bytes(51)).decode()} pirack deploy, o'brien"
SCRIPT = (distribution.deploy_directory() / "seed/first-boot").read_text()
CARD = Card(user="pi", key=KEY, instance="pirack-shared-c0ffee01", script=SCRIPT)
CMDLINE = "console=tty1 root=PARTUUID=1-02 rootwait quiet\n"
BOARD = BoardId("pi-1f3a9c2e", told=False)


def read(text: str) -> dict[str, object]:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


# --- what cloud-init reads ------------------------------------------------------------


def test_cloud_init_runs_the_first_boot_script_with_the_masters_key() -> None:
    text = card.user_data(CARD)
    assert text.startswith("#cloud-config\n")
    told = read(text)
    assert told["write_files"] == [
        {
            "path": "/var/lib/pirack-first-boot",
            "owner": "root:root",
            "permissions": "0700",
            "content": SCRIPT,
        }
    ]
    assert told["runcmd"] == [["sh", "/var/lib/pirack-first-boot", "pi", KEY]]


def test_a_board_keeps_its_hostname_and_restarts_only_when_all_went_well() -> None:
    told = read(card.user_data(CARD))
    assert told["preserve_hostname"] is True
    assert "hostname" not in told
    power = told["power_state"]
    assert isinstance(power, dict)
    assert power["mode"] == "reboot"
    assert power["condition"] == "test -e /run/pirack-first-boot"
    assert SCRIPT.rstrip().endswith(": >/etc/machine-id\n: >/run/pirack-first-boot")


def test_another_preparation_makes_cloud_init_run_once_more() -> None:
    told = read(card.meta_data(CARD))
    assert told == {"dsmode": "local", "instance-id": "pirack-shared-c0ffee01"}


# --- what Raspberry Pi OS 12 reads ----------------------------------------------------


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_script_is_one_that_a_shell_reads(shell: str, tmp_path: Path) -> None:
    made = tmp_path / "firstrun.sh"
    made.write_text(card.firstrun(CARD))
    seed = distribution.deploy_directory() / "seed"
    for script in (made, seed / "first-boot", seed / "enrol"):
        subprocess.run([shell, "-n", script], check=True)


def test_firstrun_holds_the_script_as_it_is_and_always_ends_well() -> None:
    text = card.firstrun(CARD)
    assert f"<<'END_OF_FIRST_BOOT'\n{SCRIPT}END_OF_FIRST_BOOT\n" in text
    assert "END_OF_FIRST_BOOT" not in SCRIPT
    assert text.endswith('rm -f "$boot/firstrun.sh"\n' + _undo(text) + "exit 0\n")


def _undo(text: str) -> str:
    return next(line for line in text.splitlines(keepends=True) if line[:3] == "sed")


def test_what_the_hook_adds_to_the_command_line_firstrun_takes_away_again(
    tmp_path: Path,
) -> None:
    hooked = tmp_path / "cmdline.txt"
    hooked.write_text(card.hooked(CMDLINE))
    assert hooked.read_text() == f"{CMDLINE.strip()} {' '.join(HOOK)}\n"
    undo = _undo(card.firstrun(CARD)).replace("$boot", str(tmp_path))
    subprocess.run(["sh", "-c", undo], check=True)
    assert hooked.read_text() == CMDLINE


def test_the_hook_is_put_in_once_and_never_beside_another() -> None:
    once = card.hooked(CMDLINE)
    assert card.hooked(once) == once
    with pytest.raises(ConfigError, match="Raspberry Pi Imager"):
        card.hooked(f"{CMDLINE.strip()} systemd.run=/boot/firstrun.sh\n")


@pytest.mark.parametrize("user", ["", "root", "Pi", "a b", "x;reboot", "ALL\nx"])
def test_a_user_that_sudo_could_read_as_something_else_is_refused(user: str) -> None:
    with pytest.raises(ConfigError, match="not the name of an account"):
        Card(user=user, key=KEY, instance="i", script="")


@pytest.mark.parametrize(
    "key", ["", "AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", f"{KEY}\nsecond"]
)
def test_only_a_public_key_of_one_line_is_let_in(key: str) -> None:
    with pytest.raises(ConfigError, match="is not a public SSH key"):
        Card(user="pi", key=key, instance="i", script="")


# --- the archive ----------------------------------------------------------------------


def entries(content: bytes) -> tuple[dict[str, tarfile.TarInfo], bytes]:
    """Return what is in an archive, and whom it is for."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        board = archive.extractfile("board")
        assert board is not None
        return {entry.name: entry for entry in archive}, board.read()


def test_the_archive_holds_bundle_wheel_units_and_whom_it_is_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "credentials.json").write_text("{}")
    (tmp_path / "credentials.json").chmod(0o600)
    content = pack(tmp_path, BOARD, wheel=("pirack-1-py3-none-any.whl", b"w"))
    members, meant = entries(content)
    assert set(members) == {
        *("bundle", "bundle/credentials.json", "bundle/pirack-1-py3-none-any.whl"),
        *("enrol", "pirack-enrol.service", "board"),
    }
    assert meant == b"pi-1f3a9c2e"
    assert members["bundle/credentials.json"].mode & 0o077 == 0
    assert {entry.uid for entry in members.values()} == {0}


def test_a_board_that_does_not_know_its_id_is_not_asked_for_it(tmp_path: Path) -> None:
    _, meant = entries(pack(tmp_path, BoardId("greenhouse", told=True)))
    assert meant == b""


# --- on a card ------------------------------------------------------------------------


def boot_partition(tmp_path: Path, **files: str) -> Path:
    """Return a boot partition with these files; ``_`` stands for ``-``."""
    for name, text in {"cmdline.txt": CMDLINE, **files}.items():
        (tmp_path / name.replace("_", "-")).write_text(text)
    return tmp_path


FILES = {
    **card.texts(CARD),
    ARCHIVE: b"secret",
}


def test_what_a_card_has_is_seen_from_its_boot_partition(tmp_path: Path) -> None:
    assert card.system_of(tmp_path) is System.ANY
    assert card.system_of(boot_partition(tmp_path)) is System.BOOKWORM
    assert (
        card.system_of(boot_partition(tmp_path, user_data="#cloud-config"))
        is System.CLOUD_INIT
    )


def test_a_bookworm_card_gets_the_script_and_its_hook_and_no_more(
    tmp_path: Path,
) -> None:
    to = boot_partition(tmp_path)
    assert card.write(FILES, to, System.BOOKWORM) == []
    assert {one.name for one in to.iterdir()} == {
        *("cmdline.txt", "firstrun.sh", "pirack-seed.tar")
    }
    assert (to / "cmdline.txt").read_text() == card.hooked(CMDLINE)


def test_only_its_owner_reads_the_archive(tmp_path: Path) -> None:
    card.write(FILES, tmp_path, System.ANY)
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert modes.pop(ARCHIVE) == 0o600
    assert set(modes.values()) == {0o644}


def test_what_is_there_is_replaced_only_by_force_and_then_kept(tmp_path: Path) -> None:
    to = boot_partition(tmp_path, user_data="#cloud-config\nmine: 1\n")
    with pytest.raises(ConfigError, match=r"user-data is there already.*--force"):
        card.check(to, System.CLOUD_INIT, force=False)
    card.check(to, System.CLOUD_INIT, force=True)
    (note,) = card.write(FILES, to, System.CLOUD_INIT)
    assert note == f"kept {to / 'user-data.before'}"
    assert (to / "user-data.before").read_text() == "#cloud-config\nmine: 1\n"
    assert (to / "cmdline.txt").read_text() == CMDLINE


def test_a_link_is_never_followed_to_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of root")
    (tmp_path / "user-data").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match="user-data: is a link"):
        card.check(tmp_path, System.ANY, force=True)


def test_a_card_of_ours_can_be_prepared_again_without_force(tmp_path: Path) -> None:
    card.write(FILES, tmp_path, System.ANY)
    card.check(tmp_path, System.ANY, force=False)


def test_a_card_for_anybody_keeps_no_boards_password(tmp_path: Path) -> None:
    card.write(FILES, tmp_path, System.ANY)
    removed, _ = card.write({card.USER_DATA: b""}, tmp_path, System.ANY)
    assert not (tmp_path / ARCHIVE).exists()
    assert "it held one board's password" in removed


def test_a_folder_gets_everything_and_the_words_to_append_by_hand(
    tmp_path: Path,
) -> None:
    (note,) = card.write(FILES, tmp_path, System.ANY)
    assert {one.name for one in tmp_path.iterdir()} == set(FILES)
    assert note.endswith(" ".join(HOOK))


# --- the command line -----------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key.pub"
    path.write_text(KEY + "\n")
    return str(path)


@pytest.mark.parametrize("name", [card.USER_DATA, card.META_DATA, card.FIRSTRUN])
def test_a_shared_card_is_printed_and_needs_no_rack_to_be_made(
    name: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed", "--shared", "--ssh-key", key, "--print", name]) == 0
    assert card.OURS in capsys.readouterr().out


def test_a_shared_card_is_written_and_says_what_is_next(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "card"
    to.mkdir()
    assert main(["seed", "--shared", "--ssh-key", key, "--to", str(to)]) == 0
    said = capsys.readouterr().out
    assert f"wrote user-data, meta-data, firstrun.sh to {to}" in said
    assert "pirack deploy --all" in said
    assert not (to / ARCHIVE).exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--node", "pi-1f3a9c2e"), "holds its password: say where to"),
        (("--node", "pi-1f3a9c2e", "--to", ".", "--stack", "3"), "a place is both"),
        (("--shared", "--name", "s03n2"), "--name goes with --node"),
        (("--shared", "--slot", "2"), "--slot goes with --node"),
        (("--node", ""), "holds its password: say where to"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed", *words]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"-----BEGIN"])
def test_a_file_that_is_no_key_is_said_to_be_none(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pub"
    if content is not None:
        path.write_bytes(content)
    assert main(["seed", "--shared", "--ssh-key", str(path)]) == 3
    said = capsys.readouterr().err
    assert ("is not a public SSH key" if content else "No such file") in said
    assert "sudo" not in said


def test_a_folder_that_is_not_there_is_said_with_the_way_out(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "nowhere")
    assert main(["seed", "--shared", "--ssh-key", key, "--to", to]) == 3
    assert "mount the card's boot partition" in capsys.readouterr().err
