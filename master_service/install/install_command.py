"""``install``: refused before anything is switched, then carried out and answered."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import Phase, TargetRow
from broker.contract.topics import ScopeKind
from master_service.commands.dispatcher import Dispatcher
from master_service.commands.lock_command import require_unlocked
from master_service.commands.parse import (
    InstallOrder,
    InstallWord,
    WordsError,
    read_install,
)
from master_service.install.service import Installs
from master_service.power.evidence import unasked
from master_service.power.power_command import fed_by, outlets_of
from master_service.presence.availability import reachable
from master_service.presence.rack import Rack
from master_service.rack.command import AskedCommand, CommandRefusedError
from master_service.rack.effects import (
    BeginTask,
    Commit,
    Effects,
    Persist,
    SendReply,
)
from master_service.rack.layout import plans
from master_service.rack.node import RackNode
from master_service.rack.records import CommandBegun
from provisioning.common.errors import NoRunError
from provisioning.run.state import Params
from provisioning.settings import params

START_S = 10.0
"""Seconds a command waits for a DHCP server that is just being started."""
READ_S = 30.0
"""Seconds a run gives an outlet to be read, after it was switched."""
_SCOPES = frozenset({ScopeKind.RACK, ScopeKind.STACK})


class InstallCommands:
    """Carries out ``install``; progress of a run is told on topics of its own.

    Args:
        rack: The rack.
        dispatcher: Knows what is under way with the outlets.
        installs: Provisioning.
        reply: Publishes replies.
    """

    def __init__(
        self,
        rack: Rack,
        dispatcher: Dispatcher,
        installs: Installs,
        reply: Callable[[SendReply], None],
    ) -> None:
        self._rack = rack
        self._dispatcher = dispatcher
        self._installs = installs
        self._reply = reply

    def begin(self, asked: AskedCommand) -> Effects:
        """Checks a command and begins it; its id is on disk before it is carried out.

        Raises:
            CommandRefusedError: It is not understood, or must not be.
        """
        if asked.scope.kind not in _SCOPES:
            text = f"install is for the rack or one stack, not for {asked.scope}"
            raise CommandRefusedError(text)
        try:
            order = read_install(asked.command.args)
        except WordsError as error:
            raise CommandRefusedError(str(error)) from error
        if order.what is InstallWord.START and not order.dry:
            self._require(asked, order)

        def work(obstacle: str) -> Coroutine[Any, Any, None]:
            return self._carry_out(asked, order, obstacle)

        return [
            Persist(CommandBegun(asked.id)),
            Commit(asked.id),
            BeginTask(f"install {asked.id}", work),
        ]

    def _require(self, asked: AskedCommand, order: InstallOrder) -> None:
        """Refuses what ``power off`` of the same stacks would refuse."""
        confirm = asked.command.confirm
        if confirm not in {"", str(asked.scope)}:
            text = f"confirm={confirm} is not the scope; write confirm={asked.scope}"
            raise CommandRefusedError(text)
        outlets = outlets_of(self._rack, asked.scope)
        stacks = [
            outlet.row.stack for outlet in outlets if outlet.row.stack is not None
        ]
        require_unlocked(self._rack, asked, fed_by(self._rack, outlets), stacks)
        self._dispatcher.power.require_idle(outlets, force=order.force)

    async def _carry_out(
        self, asked: AskedCommand, order: InstallOrder, obstacle: str
    ) -> None:
        """Does what is asked, and replies with the result."""
        if obstacle:
            self._answer(asked, Phase.FAILED, obstacle)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):  # a master that only just began
                await self._installs.tried.wait()
        try:
            if order.what is InstallWord.START:
                text = await self._start(asked, order)
            else:
                text = await self._other(asked, order)
        except PiRackError as error:
            self._dispatcher.not_begun(asked.id)
            self._note(asked, f"refused: {error}")
            self._answer(asked, Phase.REFUSED, str(error))
            return
        self._note(asked, text)
        self._answer(asked, Phase.ACCEPTED, "")
        self._answer(asked, Phase.DONE, text)

    def _answer(self, asked: AskedCommand, phase: Phase, text: str) -> None:
        """Replies to a command.

        Args:
            asked: The command.
            phase: Where it stands.
            text: The result; of a refusal, why.
        """
        done = phase is Phase.DONE
        row = TargetRow(
            node="", name="install", phase=phase, verified=done, stdout=text
        )
        reply = asked.reply(
            phase,
            ok=done if phase.final else None,
            error=text if phase.final and not done else "",
            targets=(row,) if done else (),
            verified=done,
        )
        self._reply(SendReply(reply, asked.route))

    def _note(self, asked: AskedCommand, text: str) -> None:
        line = asked.history_line(self._rack.registry, text)
        self._rack.outbox.drafts.append(line)

    async def _start(self, asked: AskedCommand, order: InstallOrder) -> str:
        installer = self._installs.installer
        confirmed = asked.command.confirm == str(asked.scope)
        params = self._params(asked, order, confirmed=confirmed)
        run = await installer.begin(params, self._installs.seating.pins())
        what = "it waits for `install confirm`"
        if order.dry:
            what = "it only says what it would do"
        elif confirmed:
            what = "it was confirmed"
        return f"run {run} began: {what}; progress on {self._rack.topics.install_state}"

    async def _other(self, asked: AskedCommand, order: InstallOrder) -> str:
        installer = self._installs.installer
        by, run = asked.command.by, self._installs.last
        match order.what:
            case InstallWord.CONFIRM:
                self._mean(asked)
                installer.confirm(by)
                return f"run {run.id if run else ''} was confirmed"
            case InstallWord.CANCEL:
                self._mean(asked)
                installer.cancel(order.leave, by)
                return f"run {run.id if run else ''} ends; outlets: {order.leave}"
            case InstallWord.SWAP:
                one, other = order.slots
                await installer.swap(one, other)
                self._installs.board.look()
                self._installs.seat()
                return (
                    f"the boards of {one} and {other} changed places; they have their "
                    "new addresses after the next power-cycle of their stacks"
                )
            case _:
                change = await installer.undo()
                return str(change) or "the DHCP server had the same reservations before"

    def _mean(self, asked: AskedCommand) -> None:
        """Refuses a word to one stack that means a run over others.

        Raises:
            NoRunError: There is no run over this stack.
        """
        run, only = self._installs.last, _stack(asked)
        if only is not None and (run is None or run.over or run.params.only != only):
            text = f"there is no install run over stack {only} alone"
            raise NoRunError(text)

    def _params(
        self, asked: AskedCommand, order: InstallOrder, *, confirmed: bool
    ) -> Params:
        outlets = outlets_of(self._rack, asked.scope)
        hit = fed_by(self._rack, outlets)
        own, feeder = self._rack.settings.master.node, self._rack.panel.of_node
        nodes = self._rack.registry.nodes.values()
        lost = [n for n in nodes if feeder(n) is None and n.stack is None]
        wanted = params(
            self._installs.settings,
            plans(self._rack.stacks),
            only=_stack(asked),
            dry=order.dry,
            force=order.force,
            confirmed=confirmed,
            by=asked.command.by,
            running=_running(hit),
            unplaced=_running(node for node in lost if node.id != own),
            mute=tuple(sorted(unasked(self._rack, outlets, hit))),
        )
        # What gives up first says why: that is the power, not the run.
        patience_s = self._installs.power.patience_s + READ_S
        pace = msgspec.structs.replace(wanted.pace, switch_s=patience_s)
        return msgspec.structs.replace(wanted, pace=pace)


def _running(nodes: Iterable[RackNode]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes if reachable(node)))


def _stack(asked: AskedCommand) -> int | None:
    one = asked.scope.kind is ScopeKind.STACK
    return int(asked.scope.name) if one else None
