"""Who is signed in, from a signed cookie; and how often one may guess a password."""

import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from broker.common.atomic import put_aside, replace
from dashboard.server.users import PageUser, Users

log = logging.getLogger(__name__)

Cookie = MutableMapping[str, Any]
"""The signed session cookie, as Starlette's SessionMiddleware hands it over."""

_MAX_ENDED = 10_000
_MAX_TRACKED = 10_000
_FREE_TRIES = 5
_FREE_TRIES_WHEN_ATTACKED = 1
_ATTACKED_FROM = 20
"""Failures within ``_FORGET_AFTER_S`` of one name, or from one address."""
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 300.0
_MOST_DOUBLINGS = 16
"""Far beyond the longest wait; days of guessing would overflow a float."""
_FORGET_AFTER_S = 900.0


class Sessions:
    """Begins, reads and ends sessions.

    A session ends when its person signs out, is deleted, or gets another password; an
    open page also when it is older than a cookie may be.

    Args:
        users: Asked at every look.
        lasts_s: How long an open page is believed, seconds.
        ended: File of the sessions that were ended, so that signing out outlives a
            restart; None to keep them in memory only.
        clock: Monotonic time, seconds.
    """

    def __init__(
        self,
        users: Users,
        *,
        lasts_s: float = math.inf,
        ended: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._lasts_s = lasts_s
        self._clock = clock
        self._path = ended
        self._ended: OrderedDict[str, None] = OrderedDict()

    def load(self) -> bool:
        """Reads the ended sessions; returns False where they were there and are lost.

        A damaged file is kept aside. Sessions that ended could live again then, so the
        caller must make a new secret: everybody signs in again.
        """
        if self._path is None or not self._path.exists():
            return True
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=list[str])
        except (OSError, msgspec.MsgspecError, RecursionError) as error:
            put_aside(self._path, str(error))
            return False
        self._ended = OrderedDict.fromkeys(found[-_MAX_ENDED:])
        return True

    def begin(self, cookie: Cookie, user: PageUser) -> None:
        """Signs a person in, under a new session id."""
        cookie.clear()
        cookie["user"] = user.name
        cookie["stamp"] = user.stamp
        cookie["session"] = secrets.token_hex(16)

    def user(self, cookie: Cookie) -> PageUser | None:
        """Returns who is signed in, or None."""
        name, stamp, session = (cookie.get(key) for key in ("user", "stamp", "session"))
        if not (isinstance(name, str) and isinstance(stamp, str)):
            return None
        if not isinstance(session, str) or session in self._ended:
            return None
        return self._users.session(name, stamp)

    def watch(self, session: str, user: PageUser) -> Callable[[], bool]:
        """Returns what tells an open page, from now on, whether it may go on."""
        ends = self._clock() + self._lasts_s

        def live() -> bool:
            known = self._users.session(user.name, user.stamp)
            ended = session in self._ended or self._clock() >= ends
            return known is not None and not ended

        return live

    def end(self, cookie: Cookie) -> None:
        """Signs out; a copy of the cookie is worth nothing from now on."""
        session = cookie.get("session")
        if isinstance(session, str):
            self._ended[session] = None
            if len(self._ended) > _MAX_ENDED:
                self._ended.popitem(last=False)
            self._keep()
        cookie.clear()

    def _keep(self) -> None:
        if self._path is None:
            return
        try:
            replace(self._path, msgspec.json.encode(list(self._ended)), mode=0o600)
        except OSError as error:
            log.error("a sign-out is forgotten at the next restart: %s", error)  # noqa: TRY400  # the text says all


class SignInThrottle:
    """Makes guessing slow: after five failures each further one doubles the wait.

    Failures are counted for a name at an address, so that guesses at one account lock
    out neither another account nor the same one at another address. Many failures of
    one name, or from one address, leave every such pair one free try instead of five.

    Args:
        clock: Monotonic time, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def may_try(self, name: str, address: str) -> float:
        """Counts a try as failed; returns how long it must still wait, seconds.

        It counts before the answer is known, because guesses come side by side.

        Returns:
            0 when it may try.
        """
        pair, both = f"{address} {name}", (f"name {name}", f"address {address}")
        attacked = any(self._recent(key)[0] >= _ATTACKED_FROM for key in both)
        free = _FREE_TRIES_WHEN_ATTACKED if attacked else _FREE_TRIES
        wait_s = self.wait_s(pair, free)
        if wait_s == 0:
            for key in (pair, *both):
                self.failed(key)
        return wait_s

    def was_right(self, name: str, address: str) -> None:
        """Forgets the failures of a name at an address, and takes back the last one."""
        self.succeeded(f"{address} {name}")
        for key in (f"name {name}", f"address {address}"):
            count, last = self._failures.get(key, (0, 0.0))
            if count:
                self._failures[key] = (count - 1, last)

    def wait_s(self, key: str, free: int = _FREE_TRIES) -> float:
        """Returns how long ``key`` must still wait, seconds; 0 when it may try."""
        count, last = self._recent(key)
        if count < free:
            return 0.0
        doublings = min(count - free, _MOST_DOUBLINGS)
        wait = min(math.ldexp(_FIRST_WAIT_S, doublings), _LONGEST_WAIT_S)
        return max(last + wait - self._clock(), 0.0)

    def failed(self, key: str) -> None:
        """Counts one failure."""
        count, _ = self._recent(key)
        self._failures.pop(key, None)
        self._failures[key] = (count + 1, self._clock())
        if len(self._failures) > _MAX_TRACKED:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forgets the failures."""
        self._failures.pop(key, None)

    def _recent(self, key: str) -> tuple[int, float]:
        count, last = self._failures.get(key, (0, 0.0))
        if self._clock() - last > _FORGET_AFTER_S:
            return 0, last
        return count, last


def safe_path(wanted: str) -> str:
    """Returns where to go after signing in: a path of ours, else the start page."""
    parts = urlsplit(wanted)
    local = wanted.startswith("/") and not wanted.startswith("//")
    clean = wanted.isprintable() and "\\" not in wanted and " " not in wanted
    if local and clean and not parts.scheme and not parts.netloc:
        return wanted
    return "/"
