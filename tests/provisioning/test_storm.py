"""A storm of DHCP questions fills no memory, and keeps no answer from the run."""

from typing import Any, cast

import pytest

from provisioning.common.network import BoardHeard, HeardKind
from provisioning.run.messages import Tick
from provisioning.run_loop import WAITING_AT_MOST, RunLoop
from tests.provisioning.test_journal import RUN


async def test_what_boards_ask_in_a_storm_is_dropped_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nobody = cast("Any", None)  # it is not started: nobody takes anything out
    loop = RunLoop(journal=nobody, effects=nobody, announcer=nobody, now=nobody)
    loop.replace(RUN)
    for number in range(5_000):
        mac = f"dc:a6:32:00:{number >> 8:02x}:{number & 255:02x}"
        loop.tell(BoardHeard(mac=mac, kind=HeardKind.DISCOVER))
    loop.tell(Tick())
    waiting = loop._inbox.qsize()  # noqa: SLF001  # its length is what must be bounded
    assert waiting == WAITING_AT_MOST + 1
    assert loop.dropped.count == 5_000 - WAITING_AT_MOST
    assert caplog.text.count("is dropped") <= 2
