"""The verbs of the contract; which interrupt, need an admin, or go in waves."""

import enum


class Verb(enum.StrEnum):
    """Verbs with a meaning of their own; any other legal name is a node's alias."""

    PING = "ping"
    REFRESH = "refresh"
    IDENTIFY = "identify"
    RUN = "run"
    REBOOT = "reboot"
    SHUTDOWN = "shutdown"
    UPDATE = "update"
    RESTART_AGENT = "restart-agent"
    POWER = "power"
    INSTALL = "install"
    NAME = "name"
    PLACE = "place"
    TAG = "tag"
    FORGET = "forget"
    SILENCE = "silence"
    SNAPSHOT = "snapshot"
    HISTORY = "history"
    CANCEL = "cancel"
    """Stops what its scope, or an id, has under way: what has not begun never does."""
    EVENTS = "events"
    """Asks for lines of the rack's history; the scope says about whom."""
    LOCK = "lock"
    """Reserves a node or a stack: the destructive commands of others are refused."""
    UNLOCK = "unlock"


class PowerAction(enum.StrEnum):
    """What ``power`` asks of an outlet; the first word of the command."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"


ADMIN_VERBS = frozenset(
    {
        Verb.INSTALL.value,
        Verb.FORGET.value,
        Verb.NAME.value,
        Verb.PLACE.value,
        Verb.TAG.value,
        # Not implemented yet; the right is in place before they are.
        "layout",
        "alert",
        "schedule",
    }
)
"""Verbs that change what the rack is; they need the role admin, on the broker and on
the page alike. An operator sends every other verb, aliases included."""

READING_VERBS = frozenset({Verb.EVENTS.value, Verb.HISTORY.value})
"""Verbs that only read. The page sends them for viewers too; on the broker a viewer
subscribes and sends nothing."""

DESTRUCTIVE = frozenset(
    {Verb.REBOOT, Verb.SHUTDOWN, Verb.UPDATE, Verb.POWER, Verb.INSTALL, Verb.FORGET}
)
"""Verbs that interrupt a node: they need ``confirm`` on more than one, and run once."""

WAVES = {Verb.REBOOT.value: 4, Verb.UPDATE.value: 4, Verb.SHUTDOWN.value: 0}
"""Boards at a time, for verbs that can go in waves, where a command does not say; 0:
all at once, as every other verb goes."""
