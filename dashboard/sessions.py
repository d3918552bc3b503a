"""Who is signed in, from a signed cookie; and how often one may guess a password."""

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from dashboard.users import User, Users

Cookie = MutableMapping[str, Any]
"""The signed session cookie, as Starlette's SessionMiddleware hands it over."""

_MAX_ENDED = 10_000
_MAX_TRACKED = 10_000
_FREE_TRIES = 5
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
        clock: Monotonic time, seconds.
    """

    def __init__(
        self,
        users: Users,
        *,
        lasts_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = users
        self._lasts_s = lasts_s
        self._clock = clock
        self._ended: OrderedDict[str, None] = OrderedDict()

    def begin(self, cookie: Cookie, user: User) -> None:
        """Sign a person in, under a new session id."""
        cookie.clear()
        cookie["user"] = user.name
        cookie["stamp"] = user.stamp
        cookie["session"] = secrets.token_hex(16)

    def user(self, cookie: Cookie) -> User | None:
        """Return who is signed in, or None."""
        name, stamp, session = (cookie.get(key) for key in ("user", "stamp", "session"))
        if not (isinstance(name, str) and isinstance(stamp, str)):
            return None
        if not isinstance(session, str) or session in self._ended:
            return None
        return self._users.session(name, stamp)

    def watch(self, session: str, user: User) -> Callable[[], bool]:
        """Return what tells an open page, from now on, whether it may go on."""
        ends = self._clock() + self._lasts_s

        def live() -> bool:
            known = self._users.session(user.name, user.stamp)
            ended = session in self._ended or self._clock() >= ends
            return known is not None and not ended

        return live

    def end(self, cookie: Cookie) -> None:
        """Sign out; a copy of the cookie is worth nothing from now on."""
        session = cookie.get("session")
        if isinstance(session, str):
            self._ended[session] = None
            if len(self._ended) > _MAX_ENDED:
                self._ended.popitem(last=False)
        cookie.clear()


class Throttle:
    """Makes guessing slow: after five failures each further one doubles the wait.

    Args:
        clock: Monotonic time, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Return how long ``key`` must still wait, seconds; 0 when it may try."""
        count, last = self._recent(key)
        if count < _FREE_TRIES:
            return 0.0
        doublings = min(count - _FREE_TRIES, _MOST_DOUBLINGS)
        wait = min(math.ldexp(_FIRST_WAIT_S, doublings), _LONGEST_WAIT_S)
        return max(last + wait - self._clock(), 0.0)

    def failed(self, key: str) -> None:
        """Count one failure."""
        count, _ = self._recent(key)
        self._failures.pop(key, None)
        self._failures[key] = (count + 1, self._clock())
        if len(self._failures) > _MAX_TRACKED:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)

    def _recent(self, key: str) -> tuple[int, float]:
        count, last = self._failures.get(key, (0, 0.0))
        if self._clock() - last > _FORGET_AFTER_S:
            return 0, last
        return count, last


def safe_path(wanted: str) -> str:
    """Return where to go after signing in: a path of ours, else the start page."""
    parts = urlsplit(wanted)
    local = wanted.startswith("/") and not wanted.startswith("//")
    clean = wanted.isprintable() and "\\" not in wanted and " " not in wanted
    if local and clean and not parts.scheme and not parts.netloc:
        return wanted
    return "/"
