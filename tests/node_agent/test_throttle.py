"""Throttle bits: sysfs where it is, else vcgencmd without ever waiting for it."""

from pathlib import Path
from typing import NoReturn

import pytest

from broker.contract.messages import Throttled, ThrottleFlag
from node_agent.throttle import (
    ANSWER_WITHIN_S,
    ASK_EVERY_S,
    SYSFS,
    Throttle,
    decode,
)
from tests.node_agent.harness import FakeClock


class Program:
    """A vcgencmd that answers when a test lets it."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.output, self.errors = "", ""
        self.starts = 0
        self.kills = 0

    def __call__(self) -> "Program":
        self.starts += 1
        return self

    def poll(self) -> int | None:
        return self.exit_code

    def communicate(self) -> tuple[str, str]:
        return self.output, self.errors

    def kill(self) -> None:
        self.kills += 1

    def ends(self, exit_code: int, output: str = "", errors: str = "") -> None:
        self.exit_code, self.output, self.errors = exit_code, output, errors


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def throttle(tmp_path: Path, clock: FakeClock, program: Program) -> Throttle:
    return Throttle(root=tmp_path, raspberry=True, clock=clock, ask=program)


@pytest.mark.parametrize("text", ["f000a", "0xf000a", "throttled=0xF000A\n"])
def test_every_way_the_bits_are_written_is_read(text: str) -> None:
    throttled, _ = decode(text)
    assert throttled.now == (
        ThrottleFlag.FREQUENCY_CAPPED,
        ThrottleFlag.SOFT_TEMPERATURE_LIMIT,
    )
    assert throttled.since_boot == tuple(ThrottleFlag)


def test_no_bits_are_no_complaint() -> None:
    assert decode("0")[0] == Throttled()


def test_what_is_no_number_is_unknown_not_ok() -> None:
    assert decode("VCHI initialization failed")[0].unknown == (
        "the firmware answered 'VCHI initialization failed'"
    )


def test_under_voltage_seen_once_is_remembered_when_the_kernel_clears_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    file = tmp_path / SYSFS
    file.parent.mkdir(parents=True)
    file.write_text("10001")
    throttle = Throttle(root=tmp_path, raspberry=True, clock=clock)
    throttle.read()
    file.write_text("0")
    assert throttle.read() == Throttled(since_boot=(ThrottleFlag.UNDER_VOLTAGE,))


def test_a_machine_without_that_firmware_has_no_bits(
    tmp_path: Path, clock: FakeClock, program: Program
) -> None:
    throttle = Throttle(root=tmp_path, raspberry=False, clock=clock, ask=program)
    assert throttle.read() is None
    assert program.starts == 0


def test_the_answer_is_collected_at_a_later_reading(
    throttle: Throttle, program: Program
) -> None:
    assert throttle.read() == Throttled(unknown="not read yet")
    program.ends(0, "throttled=0x4\n")
    throttled = throttle.read()
    assert throttled is not None
    assert throttled.now == (ThrottleFlag.THROTTLED,)


async def test_the_firmware_is_asked_once_a_minute(
    throttle: Throttle, program: Program, clock: FakeClock
) -> None:
    program.ends(0, "throttled=0x0\n")
    for _ in range(5):
        throttle.read()
    assert program.starts == 1
    await clock.advance(ASK_EVERY_S)
    throttle.read()
    assert program.starts == 2


def test_a_program_that_hangs_is_ended_said_and_asked_again_later(
    throttle: Throttle, program: Program, clock: FakeClock
) -> None:
    throttle.read()
    program.ends(0, "throttled=0x0\n")
    assert throttle.read() == Throttled()
    program.exit_code = None
    clock.now += ASK_EVERY_S
    assert throttle.read() == Throttled()  # it has not had its time yet
    assert program.starts == 2
    clock.now += ANSWER_WITHIN_S
    unknown = Throttled(unknown="vcgencmd does not answer")
    assert throttle.read() == unknown
    clock.now += 10 * ASK_EVERY_S
    assert throttle.read() == unknown  # in the kernel it may not end at once
    assert (program.starts, program.kills) == (2, 1)
    program.ends(-9)
    assert throttle.read() == unknown
    assert program.starts == 3
    program.ends(0, "throttled=0x0\n")
    assert throttle.read() == Throttled()


@pytest.fixture
def always_0(tmp_path: Path) -> Path:
    """A kernel whose file says 0 whatever the firmware knows."""
    file = tmp_path / SYSFS
    file.parent.mkdir(parents=True)
    file.write_text("0\n")
    return tmp_path


def test_where_the_file_says_0_the_firmware_is_asked_as_well(
    always_0: Path, clock: FakeClock, program: Program
) -> None:
    throttle = Throttle(root=always_0, raspberry=True, clock=clock, ask=program)
    assert throttle.read() == Throttled()
    program.ends(0, "throttled=0x80008\n")
    throttle.read()
    heat = (ThrottleFlag.SOFT_TEMPERATURE_LIMIT,)
    assert throttle.read() == Throttled(now=heat, since_boot=heat)
    clock.now += ASK_EVERY_S
    throttle.read()
    program.ends(0, "throttled=0x80000\n")
    assert throttle.read() == Throttled(since_boot=heat)


@pytest.mark.parametrize(
    ("exit_code", "errors"), [(None, ""), (255, "/dev/vcio"), (1, "else")]
)
def test_a_program_that_does_not_help_takes_nothing_from_the_file(
    always_0: Path,
    clock: FakeClock,
    program: Program,
    exit_code: int | None,
    errors: str,
) -> None:
    throttle = Throttle(root=always_0, raspberry=True, clock=clock, ask=program)
    throttle.read()
    program.exit_code, program.errors = exit_code, errors
    clock.now += ANSWER_WITHIN_S
    assert throttle.read() == Throttled()


def test_a_program_that_is_not_installed_is_not_looked_for_again(
    always_0: Path, clock: FakeClock
) -> None:
    looked: list[None] = []

    def ask() -> NoReturn:
        looked.append(None)
        raise FileNotFoundError(2, "No such file or directory")

    throttle = Throttle(root=always_0, raspberry=True, clock=clock, ask=ask)
    for _ in range(5):
        assert throttle.read() == Throttled()
        clock.now += ASK_EVERY_S
    assert len(looked) == 1


def test_a_file_that_says_something_is_believed(
    always_0: Path, clock: FakeClock, program: Program
) -> None:
    (always_0 / SYSFS).write_text("50005\n")
    throttle = Throttle(root=always_0, raspberry=True, clock=clock, ask=program)
    answer = throttle.read()
    assert answer is not None
    assert answer.now
    assert program.starts == 0


def test_a_user_outside_the_group_video_is_told_so(
    throttle: Throttle, program: Program
) -> None:
    throttle.read()
    program.ends(255, errors="Can't open device file: /dev/vcio\n")
    throttled = throttle.read()
    assert throttled is not None
    assert throttled.unknown.startswith("no permission")
    assert not throttled.now


def test_another_failure_is_quoted(throttle: Throttle, program: Program) -> None:
    throttle.read()
    program.ends(1, errors="something else\n")
    throttled = throttle.read()
    assert throttled is not None
    assert throttled.unknown == "vcgencmd: something else"
