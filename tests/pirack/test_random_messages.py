"""Whatever anybody publishes: the commands go on, and print what a terminal may see."""

import io

import pytest
from rich.console import Console

from broker.client.link import Message
from broker.common.errors import PayloadError
from broker.contract.messages import Event, Reply, decode
from broker.contract.topics import Topics
from pirack import event_lines, table, watch_rich
from pirack.install import picture
from pirack.install.progress import Progress
from pirack.mirror import Mirror
from pirack.receipt import Receipt, row_lines
from tests.random_messages import RandomMessages

SEEDS = 8
MESSAGES = 300
NOW = 1_700_000_000.0
LIKELY = {"id": ("pi-1", "pi-2", "command-1"), "parts": (1, 2), "stack": (1, 2)}


def shown(mirror: Mirror, progress: Progress, receipt: Receipt) -> list[str]:
    """Return all that the commands would print now."""
    lines = [*table.plain(mirror, NOW)]
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(watch_rich.picture(mirror, NOW, 100, 40))
    if progress.state is not None:
        lines += picture.summary(progress.state)
        lines += picture.forecast(progress.state)
    lines += picture.boards(progress.touched)
    lines += [line for row in receipt.rows for line in row_lines(row)]
    lines += [event_lines.line(one) for one in event_lines.fold(receipt.events)]
    return [*lines, receipt.summary()]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_thousands_of_random_messages_stop_no_command(seed: int) -> None:
    topics = Topics("lab")
    mirror, progress = Mirror(topics), Progress(topics)
    receipt = Receipt("command-1")
    printed: list[str] = []
    progress.told = lambda event: printed.append(event_lines.line(event))
    random_ = RandomMessages(seed, nodes=("pi-1", "pi-2"), likely=LIKELY)
    for number in range(MESSAGES):
        one = random_.next()
        message = Message(one.topic, one.payload, one.retain, 1)
        mirror.take(message)
        progress.on_message(message)
        if issubclass(one.kind, Reply | Event):
            read(one.payload, one.kind, receipt, printed)
        if number % 20 == 0:
            printed += shown(mirror, progress, receipt)
    assert len(printed) > 100
    for line in printed:
        bad = [char for char in line if not char.isprintable() and char != "\n"]
        assert not bad, (bad, line)


def read(
    payload: bytes, kind: type[Reply | Event], receipt: Receipt, printed: list[str]
) -> None:
    """Takes a reply or a line of history as `pirack send` and `events` do."""
    try:
        message = decode(payload, kind)
    except PayloadError:
        return
    if isinstance(message, Reply):
        receipt.add(message)
    else:
        printed.append(event_lines.written(message, as_json=False))
        printed.append(event_lines.written(message, as_json=True))
