"""What the commands of an invented board print and do."""

from functools import partial

import msgspec
import pytest

from broker.contract.messages import Throttled, ThrottleFlag
from broker.contract.verbs import Verb
from node_agent import actions
from node_agent.board import FakeBoard
from node_agent.runner import Invocation, Outcome
from node_agent.simulator.simulated_runner import NOT_FOUND, UPDATE_S, SimulatedRunner


class Acts:
    """Notes what a command did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


@pytest.fixture
def acts() -> Acts:
    return Acts()


@pytest.fixture
def board() -> FakeBoard:
    board = FakeBoard()
    board.facts_now = msgspec.structs.replace(
        board.facts_now, memory_bytes=2**30, disk_bytes=2**35
    )
    return board


@pytest.fixture
def runner(board: FakeBoard, acts: Acts) -> SimulatedRunner:
    by_verb = {
        verb: partial(acts.done.append, verb.value)
        for verb in (Verb.REBOOT, Verb.SHUTDOWN, Verb.IDENTIFY)
    }
    return SimulatedRunner(board, by_verb, acts.sleep)


async def run(runner: SimulatedRunner, *argv: str) -> Outcome:
    return await runner.run(Invocation(verb="x", argv=argv))


async def test_every_built_in_alias_can_run_on_an_invented_board(
    runner: SimulatedRunner,
) -> None:
    for action in actions.load().values():
        assert await runner.why_not(action.sample()) == ""
        outcome = await runner.run(action.sample())
        assert outcome.exit_code == 0, action.verb


async def test_built_in_verbs_do_their_act(runner: SimulatedRunner, acts: Acts) -> None:
    built_in = actions.load()
    for verb in ("reboot", "shutdown", "identify"):
        action = built_in.get(verb)
        assert action is not None
        await runner.run(action.invocation())
    assert acts.done == ["reboot", "shutdown", "identify"]


@pytest.mark.parametrize(
    ("argv", "act"),
    [
        (("/sbin/reboot",), "reboot"),
        (("sudo", "-n", "shutdown", "-r", "now"), "reboot"),
        (("shutdown", "-h", "now"), "shutdown"),
        (("/bin/sh", "-c", "sudo -n poweroff"), "shutdown"),
    ],
)
async def test_ones_own_way_to_reboot_or_halt_is_understood(
    runner: SimulatedRunner, acts: Acts, argv: tuple[str, ...], act: str
) -> None:
    await run(runner, *argv)
    assert acts.done == [act]


async def test_an_update_takes_its_time(runner: SimulatedRunner, acts: Acts) -> None:
    outcome = await run(runner, "sudo", "-n", "apt-get", "--yes", "upgrade")
    assert acts.slept_s == outcome.duration_s == UPDATE_S
    assert "0 upgraded" in outcome.stdout


async def test_a_program_that_is_not_there_is_not_found(
    runner: SimulatedRunner,
) -> None:
    outcome = await run(runner, "nmap", "10.0.0.1")
    assert outcome.exit_code == NOT_FOUND
    assert "nmap: not found" in outcome.stderr
    assert await runner.why_not(Invocation(verb="x", argv=("nmap",))) == (
        "nmap: not found"
    )


async def test_a_shell_line_that_no_shell_could_read_stops_nothing(
    runner: SimulatedRunner,
) -> None:
    assert (await run(runner, "/bin/sh", "-c", "echo 'oh")).exit_code == 0
    assert (await run(runner, "/bin/sh", "-c", "")).exit_code == NOT_FOUND


async def test_vcgencmd_speaks_as_the_firmware_does(
    runner: SimulatedRunner, board: FakeBoard
) -> None:
    assert (await run(runner, "vcgencmd", "measure_temp")).stdout == "temp=48.5'C\n"
    get_throttled = ("vcgencmd", "get_throttled")
    assert (await run(runner, *get_throttled)).stdout == "throttled=0x0\n"
    board.vitals_now = msgspec.structs.replace(
        board.vitals_now,
        throttled=Throttled(
            now=(ThrottleFlag.UNDER_VOLTAGE,), since_boot=(ThrottleFlag.UNDER_VOLTAGE,)
        ),
    )
    assert (await run(runner, *get_throttled)).stdout == "throttled=0x50005\n"


@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (("cat", "/sys/class/thermal/thermal_zone0/temp"), "48500\n"),
        (("cat", "/etc/motd"), ""),
        (("hostname",), "raspberrypi\n"),
        (("echo", "hello", "rack"), "hello rack\n"),
        (("uptime",), " up 0 days,  0:01,  0 users,  load average: 0.10, 0.20, 0.30\n"),
        (("journalctl", "--unit=ssh"), "raspberrypi systemd[1]: Started ssh.\n"),
    ],
)
async def test_other_programs_print_what_the_board_measures(
    runner: SimulatedRunner, argv: tuple[str, ...], printed: str
) -> None:
    assert (await run(runner, *argv)).stdout == printed
