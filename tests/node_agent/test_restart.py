"""An ordered restart ends under systemd, and puts itself in its own place elsewhere."""

import os
import sys

import pytest

from node_agent.restart import SYSTEMD_EXEC_PID, Restart


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
