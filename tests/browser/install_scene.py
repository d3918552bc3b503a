"""What a master says of its install run, for the tests of the Install page."""

from typing import Any

from broker.contract.messages import InstallBoard, InstallStack, InstallState, ScanPhase
from tests.browser.actor import Actor, mac
from tests.browser.stage import wait_until

RUN = "r-7f3a"
RACK = "pirack/v1/lab/rack/cmd/install"
FORECAST = (
    "stacks 1-12 lose power: all go off, then one after the other comes on, to stay",
    "48 slots will be looked for; 12 boards are known and keep their addresses",
    "addresses are reserved from 192.168.23.10 on",
    "it takes about 11 minutes",
)
MISSING = (
    "s02n3: no board was heard; if there is one, check its card and cable, then scan "
    "stack 2 again"
)
FOREIGN = (
    "b8:27:eb:00:00:99 talks although all stacks are off: not a board of the rack, "
    "left out"
)


class Scene:
    """Publishes the state of an install run in a master's place."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._stacks: set[int] = set()

    def state(self, step: str, **values: object) -> None:
        base: dict[str, Any] = {
            "run": RUN,
            "step": step,
            "backend": "dnsmasq",
            "interface": "eth1",
            "by": "ada",
            "total": 48,
        }
        base.update(values)
        self._actor.say(self._actor.topics.install_state, InstallState(**base))

    def idle(self, backend: str = "dnsmasq") -> None:
        self.state("idle", run="", by="", total=0, backend=backend)

    def confirm(self, **values: object) -> None:
        self.state("confirm", forecast=FORECAST, **values)

    def board(self, stack: int, slot: int | None, **values: object) -> InstallBoard:
        base: dict[str, Any] = {
            "slot": slot,
            "name": f"s{stack:02}n{slot}" if slot else "",
            "address": f"192.168.23.{6 + 4 * stack + slot - 1}" if slot else "",
            "mac": mac(stack, slot or 9),
            "model": "Raspberry Pi 4 Model B",
            "verdict": "ok",
        }
        base.update(values)
        return InstallBoard(**base)

    def stack(
        self, stack: int, phase: ScanPhase, *boards: InstallBoard, run: str = RUN
    ) -> None:
        self._stacks.add(stack)
        message = InstallStack(stack=stack, run=run, phase=phase, boards=boards)
        self._actor.say(self._actor.topics.install_stack(stack), message)

    def full(self, stack: int, phase: ScanPhase, **values: object) -> None:
        boards = [self.board(stack, slot, **values) for slot in (1, 2, 3, 4)]
        self.stack(stack, phase, *boards)

    def scanning(self) -> None:
        """Four stacks are placed, one with a silent slot; the fifth is on."""
        for stack in (1, 3, 4):
            self.full(stack, ScanPhase.PLACED)
        boards = [self.board(2, slot) for slot in (1, 2, 4)]
        silent = self.board(2, 3, mac="", model="", verdict="missing")
        self.stack(2, ScanPhase.PROBLEMS, *boards[:2], silent, boards[2])
        nobody = {"mac": "", "model": "", "verdict": ""}
        empty = [self.board(5, slot, **nobody) for slot in (1, 2, 3, 4)]
        self.stack(5, ScanPhase.SCANNING, *empty, self.heard(1), self.heard(2))
        for stack in range(6, 13):
            slots = [self.board(stack, slot, **nobody) for slot in (1, 2, 3, 4)]
            self.stack(stack, ScanPhase.WAITING, *slots)
        self.state(
            "scan",
            stack=5,
            done=17,
            problems=(MISSING, FOREIGN),
            verdicts={"ok": 17, "missing": 1, "foreign": 1},
            eta_s=312.0,
        )

    def heard(self, number: int) -> InstallBoard:
        return self.board(5, None, mac=mac(5, number), address="", verdict="")

    def done(self, problems: tuple[str, ...] = ()) -> None:
        for stack in range(1, 13):
            self.full(stack, ScanPhase.VERIFIED, verified=True)
        if problems:
            boards = [self.board(2, slot, verified=True) for slot in (1, 2, 4)]
            silent = self.board(2, 3, mac="", model="", verdict="missing")
            self.stack(2, ScanPhase.PROBLEMS, *boards[:2], silent, boards[2])
        missing = {"missing": 1} if problems else {}
        self.state(
            "done-with-problems" if problems else "done",
            done=48 - len(missing),
            problems=problems,
            verdicts={"ok": 48 - len(missing)} | missing,
        )

    def clear(self) -> None:
        """Take back everything that is retained."""
        for stack in self._stacks:
            self._actor.say(self._actor.topics.install_stack(stack), b"")
        self._actor.say(self._actor.topics.install_state, b"")


def asked(rack: Actor, count: int = 1) -> list[tuple[str, tuple[str, ...], str]]:
    """Wait for so many install commands; return topic, words and confirm of each."""

    def sent() -> list[tuple[str, tuple[str, ...], str]]:
        mine = [each for each in rack.commands if each[0].endswith("/install")]
        return [(topic, command.args, command.confirm) for topic, command in mine]

    wait_until(lambda: len(sent()) >= count, f"{count} install commands")
    return sent()
