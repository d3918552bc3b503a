"""The walk along the outlets with a person who looks and listens."""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from broker.contract.messages import Power
from master_service.power.outlets import Outlets, PowerError
from master_service.rack.settings import OutletRow, Settings
from pirack.power import describe


class Reply(enum.StrEnum):
    """What a person answers."""

    YES = "y"
    NO = "n"
    QUIT = "q"


class Person(Protocol):
    """Who stands at the rack."""

    def tell(self, text: str) -> None:
        """Say a line."""

    async def ask(self, question: str) -> Reply:
        """Ask, until the answer is one."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of one outlet.

    Args:
        outlet: Its name.
        fault: What is wrong, in words; empty: nothing.
        skipped: Whether the person passed it by.
    """

    outlet: str
    fault: str = ""
    skipped: bool = False


class Walk:
    """Tests outlets one by one: off and on again, or on and off if it was off.

    Args:
        settings: The configuration.
        outlets: Switches.
        person: Looks.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        settings: Settings,
        outlets: Outlets,
        person: Person,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._outlets = outlets
        self._person = person
        self._sleep = sleep

    async def go(self, rows: Sequence[OutletRow]) -> list[Outcome]:
        """Test some outlets, and return what came of each that was reached."""
        done: list[Outcome] = []
        for row in rows:
            self._person.tell("")
            self._person.tell(f"outlet {row.name} ({describe.wired(row)})")
            reply = await self._person.ask(self._warning(row))
            if reply is Reply.QUIT:
                break
            if reply is Reply.NO:
                done.append(Outcome(row.name, skipped=True))
                continue
            done.append(await self._tested(row))
            if done[-1].fault:
                self._person.tell(f"  ! {done[-1].fault}")
        return done

    def _warning(self, row: OutletRow) -> str:
        names = describe.boards(row, self._settings)
        who = ", ".join(names) if names else describe.fed(row)
        return f"  cut it? {who} will lose power without a shutdown"

    async def _tested(self, row: OutletRow) -> Outcome:
        try:
            await self._outlets.claim(row.name, Power.UNKNOWN)
            before = await self._outlets.read(row.name)
            return Outcome(row.name, await self._both_ways(row, before))
        except PowerError as error:
            return Outcome(row.name, str(error))

    async def _both_ways(self, row: OutletRow, before: Power) -> str:
        """Switch there and back, and return what is wrong."""
        there = before is Power.OFF
        seen: dict[bool, bool | None] = {}
        try:
            seen[there] = await self._one_way(row, on=there)
        finally:
            # Whatever happens, Ctrl-C too: it ends as it was found.
            if not there:
                await self._sleep(self._settings.power.min_off_s)
            await self._outlets.switch(row.name, on=not there)
        if None in seen.values():
            return "not finished"
        seen[not there] = await self._look(row, on=not there)
        return _fault(row, lost=seen[False], came=seen[True])

    async def _one_way(self, row: OutletRow, *, on: bool) -> bool | None:
        self._person.tell(f"  {describe.switching(row, on=on)}")
        await self._outlets.switch(row.name, on=on)
        return await self._look(row, on=on)

    async def _look(self, row: OutletRow, *, on: bool) -> bool | None:
        """Compare what the outlet says and the person sees; None: they had to go."""
        read = await self._outlets.read(row.name)
        if read is not (Power.ON if on else Power.OFF):
            self._person.tell(f"  it reads back {read}")
        what = describe.fed(row)
        question = f"  does {what} have power?" if on else f"  did {what} lose power?"
        reply = await self._person.ask(question)
        return None if reply is Reply.QUIT else reply is Reply.YES


def _fault(row: OutletRow, *, lost: bool | None, came: bool | None) -> str:
    """Return what is wrong from what was seen after off and after on."""
    if lost and came:
        return ""
    if None in {lost, came}:
        return "not finished"
    if not lost and not came and row.active_low is not None:
        right = "false" if row.active_low else "true"
        return f"it works the other way round: write active_low = {right}"
    if not lost and not came:
        return "it works the other way round: exchange on and off"
    if lost:
        return f"{describe.fed(row)} did not come back: see relay, supply and contact"
    return (
        f"{describe.fed(row)} kept its power: another pin or plug, or the wrong "
        "contact of the relay; did anything else go dark?"
    )
