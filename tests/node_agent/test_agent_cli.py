"""``[agent]``, the options over it, and an ordered restart."""

import argparse
import os
import sys
import tomllib
from pathlib import Path

import pytest

from broker import VERSION
from broker.common import service
from broker.common.config import Document
from broker.common.errors import ConfigError
from node_agent import cli
from node_agent.cli import SYSTEMD_EXEC_PID, Restart
from node_agent.settings import AgentSettings

ROOT = Path(__file__).parents[2]


def settings(**keys: object) -> AgentSettings:
    return Document({"agent": keys}, "pirack.toml").table("agent", AgentSettings)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"interval": 5}, "unknown key 'interval'; did you mean 'interval_s'?"),
        ({"interval_s": 0.01}, "Expected `float` >= 0.2"),
        ({"id": "Pi One"}, "Expected `str` matching regex"),
        ({"at_once": 0}, "Expected `int` >= 1"),
    ],
)
def test_a_wrong_key_is_named_with_what_would_be_right(
    keys: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**keys)
    assert told in str(caught.value)


def test_the_state_directory_is_as_configured_else_systemds_else_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/pi")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    found = settings().state_directory()
    assert found == Path("/home/pi/.local/state/pirack-agent")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pirack-agent")
    assert settings().state_directory() == Path("/var/lib/pirack-agent")
    assert settings(state_dir="/data").state_directory() == Path("/data")


def test_an_option_overrides_its_key_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "pirack.toml"
    file.write_text('[agent]\ninterval_s = 5.0\nid = "pi-one"\n')
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    asked = parser.parse_args(["--config", str(file), "--interval", "2", "--rack", "x"])
    read = Document(tomllib.loads(file.read_text()))
    document = service.overlaid(read, asked, cli.OPTIONS)
    agent = document.table("agent", AgentSettings)
    assert (agent.interval_s, agent.id) == (2.0, "pi-one")
    assert document.tables["rack"] == {"name": "x"}


def test_a_unit_starts_the_agent_with_the_same_options_as_a_person() -> None:
    words = ["--config", "/etc/pirack/pirack.toml"]
    quick = cli.as_a_service(words)
    assert quick is not None
    assert vars(quick) == vars(cli.parser().parse_args(words))
    assert cli.as_a_service(["--once"]) is None


def test_the_version_a_node_says_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        text = "Could not determine home directory."
        raise RuntimeError(text)

    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match=r"set \[agent\] state_dir"):
        AgentSettings().state_directory()
    assert AgentSettings(state_dir="/x").state_directory() == Path("/x")


@pytest.mark.parametrize("torn", [b"", b"\0" * 64, b'{"username": "pi-1'])
def test_torn_credentials_end_the_start_with_a_sentence_and_code_3(
    tmp_path: Path,
    torn: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = tmp_path / "credentials.json"
    kept.write_bytes(torn)
    told = tmp_path / "pirack.toml"
    told.write_text(
        f'[broker]\ncredentials = "{kept}"\n'
        f'[agent]\nid = "pi-1"\nstate_dir = "{tmp_path}"\n'
    )
    monkeypatch.setattr("sys.argv", ["pirack-agent", "--config", str(told)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == service.EXIT_CONFIG
    said = capsys.readouterr().err
    assert f"pirack-agent: {kept}: is not a credentials file" in said
    assert "it must hold" in said
    assert kept.read_bytes() == torn


class Process:
    """What a process did to itself."""

    def __init__(self) -> None:
        self.ends = 0
        self.executed: list[tuple[str, list[str]]] = []

    def end(self) -> None:
        self.ends += 1

    def execute(self, program: str, argv: list[str]) -> None:
        self.executed.append((program, argv))

    def restart(self, **environ: str) -> Restart:
        return Restart(environ, self.execute, self.end)


def test_without_an_order_the_end_is_the_end() -> None:
    process = Process()
    process.restart().carry_out()
    assert process.executed == []


def test_an_order_asks_the_service_to_end_first() -> None:
    process = Process()
    process.restart().order()
    assert (process.ends, process.executed) == (1, [])


def test_under_systemd_it_only_ends_for_the_unit_starts_it_again() -> None:
    process = Process()
    restart = process.restart(**{SYSTEMD_EXEC_PID: str(os.getpid())})
    restart.order()
    restart.carry_out()
    assert process.executed == []


@pytest.mark.parametrize("environ", [{}, {SYSTEMD_EXEC_PID: "1"}])
def test_elsewhere_it_puts_itself_in_its_own_place(environ: dict[str, str]) -> None:
    process = Process()
    restart = process.restart(**environ)
    restart.order()
    restart.carry_out()
    argv = [sys.executable, *sys.orig_argv[1:]]
    assert process.executed == [(sys.executable, argv)]
