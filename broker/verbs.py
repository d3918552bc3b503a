"""The verbs of the contract, and which of them can hurt."""

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


DESTRUCTIVE = frozenset(
    {Verb.REBOOT, Verb.SHUTDOWN, Verb.UPDATE, Verb.POWER, Verb.INSTALL, Verb.FORGET}
)
"""Verbs that interrupt a node: they need ``confirm`` on more than one, and run once."""
