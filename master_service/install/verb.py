"""Carries out install commands and answers them."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import Phase
from broker.contract.topics import ScopeKind
from master_service.commands.desk import Desk
from master_service.commands.effects import Answer, Asked, DoInstall
from master_service.commands.install import answer
from master_service.commands.install_words import Ask, InstallOrder
from master_service.commands.lines import line
from master_service.commands.reach import reachable
from master_service.install.service import Installs
from master_service.install.setup import plans
from master_service.power import boards
from master_service.presence.rack import Rack
from master_service.rack.node import Node
from provisioning.common.errors import NoRunError
from provisioning.run.state import Params
from provisioning.settings import params

START_S = 10.0
"""Seconds a command waits for a DHCP server that is just being started."""
READ_S = 30.0
"""Seconds a run gives an outlet to be read, after it was switched."""


class InstallVerb:
    """Carries them out.

    Args:
        rack: The rack.
        desk: Knows whom a scope means.
        installs: Provisioning.
    """

    def __init__(self, rack: Rack, desk: Desk, installs: Installs) -> None:
        self._rack = rack
        self._desk = desk
        self._installs = installs

    async def carry_out(
        self, effect: DoInstall, answered: Callable[[Answer], None]
    ) -> None:
        """Do what is asked, and say what came of it.

        Args:
            effect: The command.
            answered: Takes the answers.
        """
        asked, order = effect.asked, effect.order
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):  # a master that only just began
                await self._installs.tried.wait()
        try:
            if order.what is Ask.START:
                text = await self._start(asked, order)
            else:
                text = await self._other(asked, order)
        except PiRackError as error:
            self._desk.not_begun(asked.id)
            self._note(asked, f"refused: {error}")
            answered(answer(asked, Phase.REFUSED, str(error)))
            return
        self._note(asked, text)
        answered(answer(asked, Phase.ACCEPTED, ""))
        answered(answer(asked, Phase.DONE, text))

    def _note(self, asked: Asked, text: str) -> None:
        self._rack.outbox.drafts.append(line(self._rack.registry, asked, text))

    async def _start(self, asked: Asked, order: InstallOrder) -> str:
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

    async def _other(self, asked: Asked, order: InstallOrder) -> str:
        installer = self._installs.installer
        by, run = asked.command.by, self._installs.last
        match order.what:
            case Ask.CONFIRM:
                self._mean(asked)
                installer.confirm(by)
                return f"run {run.id if run else ''} was confirmed"
            case Ask.CANCEL:
                self._mean(asked)
                installer.cancel(order.leave, by)
                return f"run {run.id if run else ''} ends; outlets: {order.leave}"
            case Ask.SWAP:
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

    def _mean(self, asked: Asked) -> None:
        """Refuse a word to one stack that means a run over others.

        Raises:
            NoRunError: There is no run over this stack.
        """
        run, only = self._installs.last, _stack(asked)
        if only is not None and (run is None or run.over or run.params.only != only):
            text = f"there is no install run over stack {only} alone"
            raise NoRunError(text)

    def _params(self, asked: Asked, order: InstallOrder, *, confirmed: bool) -> Params:
        choice = self._desk.power.choice
        outlets = choice.outlets(asked.scope)
        hit = choice.hit(outlets)
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
            mute=tuple(sorted(boards.unasked(self._rack, outlets, hit))),
        )
        # What gives up first says why: that is the power, not the run.
        patience_s = self._installs.power.patience_s + READ_S
        pace = msgspec.structs.replace(wanted.pace, switch_s=patience_s)
        return msgspec.structs.replace(wanted, pace=pace)


def _running(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted(node.name for node in nodes if reachable(node)))


def _stack(asked: Asked) -> int | None:
    one = asked.scope.kind is ScopeKind.STACK
    return int(asked.scope.name) if one else None
