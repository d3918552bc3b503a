"""A master with a script, and what it is asked by `pirack install`."""

from collections.abc import Iterator

import msgspec

from broker.client.link import Connect
from broker.contract.messages import (
    Command,
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    Phase,
    Reply,
    ScanPhase,
    TargetRow,
    encode,
)
from tests.pirack.scripted_master import TOPICS, ScriptedMaster, reply

OLD = InstallState(run="i-1", step=InstallStep.DONE, backend="dnsmasq", done=4, total=4)
NEW = msgspec.structs.replace(
    OLD, run="i-2", step=InstallStep.PREFLIGHT, done=0, total=2, by="ann"
)
FORECAST = ("stack 3 loses power", "it takes about 40 s")
WAITING = msgspec.structs.replace(NEW, step=InstallStep.CONFIRM, forecast=FORECAST)
SCAN = msgspec.structs.replace(
    WAITING, step=InstallStep.SCAN, stack=3, done=1, eta_s=20
)
DONE = msgspec.structs.replace(
    SCAN, step=InstallStep.DONE, stack=None, done=2, eta_s=None
)
LOST = "s03n2: no board was heard; check its card and cable, then scan stack 3 again"
PROBLEMS = msgspec.structs.replace(
    DONE, step=InstallStep.PROBLEMS, done=1, problems=(LOST,)
)
CANCELLED = msgspec.structs.replace(WAITING, step=InstallStep.CANCELLED)
BOARDS = (
    InstallBoard(
        slot=1,
        name="s03n1",
        address="192.168.23.18",
        mac="dc:a6:32:00:00:31",
        model="Raspberry Pi 4",
        verdict=InstallVerdict.OK,
        verified=True,
    ),
    InstallBoard(
        slot=2, name="s03n2", address="192.168.23.19", verdict=InstallVerdict.MISSING
    ),
)
STACK = InstallStack(stack=3, run="i-2", phase=ScanPhase.PROBLEMS, boards=BOARDS)


class InstallMaster(ScriptedMaster):
    """A master with a script: to each first word of ``install``, what it publishes.

    Args:
        connect: Makes its link.
        script: Word to states.
    """

    def __init__(self, connect: Connect, **script: tuple[InstallState, ...]) -> None:
        super().__init__(connect, self._reply)
        self.script = script
        self.refusal = ""

    def _reply(self, command: Command) -> Iterator[Reply]:
        if self.refusal:
            yield reply(Phase.REFUSED, ok=False, error=self.refusal)
            return
        row = TargetRow(node="", name="install", phase=Phase.DONE, stdout="as you said")
        yield reply(ok=True, targets=[row])
        for state in self.script.get(command.args[0], ()):
            self.say(state)

    def say(self, state: InstallState) -> None:
        self.link.publish(TOPICS.install_state, encode(state), qos=1, retain=True)

    def show(self, stack: InstallStack) -> None:
        topic = TOPICS.install_stack(stack.stack)
        self.link.publish(topic, encode(stack), qos=1, retain=True)

    @property
    def words(self) -> list[str]:
        return [" ".join(command.args) for _, command in self.asked]
