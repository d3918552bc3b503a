"""An outlet in words: what it feeds, what switches it, what a switching does; pure."""

from master_service.power.drivers.gpio import Wire
from master_service.power.drivers.plug import resolve
from master_service.rack.settings import OutletRow, Settings


def fed(row: OutletRow) -> str:
    """Return what an outlet feeds, as a person calls it."""
    if row.stack is not None:
        return f"stack {row.stack}"
    return ", ".join(row.nodes) or "what it feeds"


def boards(row: OutletRow, settings: Settings) -> tuple[str, ...]:
    """Return the names of the boards that lose power with an outlet."""
    return tuple(
        node.name or node.id
        for node in settings.nodes
        if node.id in row.nodes or (row.stack is not None and node.stack == row.stack)
    )


def wired(row: OutletRow) -> str:
    """Return what switches an outlet."""
    if row.pin is not None:
        polarity = "low" if row.active_low else "high"
        return f"{row.driver}, GPIO{row.pin}, on when {polarity}"
    if row.plug is not None:
        return f"{row.driver}, {resolve(row.plug).command_topic}"
    return str(row.driver)


def switching(row: OutletRow, *, on: bool) -> str:
    """Return what switching an outlet does."""
    word = "on" if on else "off"
    if row.pin is not None and row.active_low is not None:
        high = Wire(row.pin, row.active_low).high(on=on)
        return f"{word}: GPIO{row.pin} becomes {'high' if high else 'low'}"
    if row.plug is not None:
        plug = resolve(row.plug)
        payload = plug.on if on else plug.off
        return f"{word}: {plug.command_topic} gets {payload!r}"
    if row.commands is not None:
        command = row.commands.on if on else row.commands.off
        text = command if isinstance(command, str) else " ".join(command)
        return f"{word}: runs {text}"
    return word
