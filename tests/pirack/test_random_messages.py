"""Whatever anybody publishes: the commands go on, and print what a terminal may see."""

import io

import pytest
from rich.console import Console

from broker.client.fake import FakeBroker
from broker.client.link import Message
from broker.common.errors import PayloadError
from broker.contract.messages import Event, Reply, decode
from broker.contract.topics import Topics
from pirack import install_view, watch
from pirack.events import fold, written
from pirack.rack_client import RackClient
from pirack.receipt import Receipt, row_lines
from pirack.screen import LiveScreen, text_of
from tests.random_messages import RandomMessages

SEEDS = 8
MESSAGES = 300
NOW = 1_700_000_000.0
LIKELY = {"id": ("pi-1", "pi-2", "command-1"), "parts": (1, 2), "stack": (1, 2)}


def shown(client: RackClient, receipt: Receipt) -> list[str]:
    """Returns all that the commands would print now."""
    picture, run = client.picture, client.picture.install
    lines = [text_of(one) for one in watch.lines(picture, NOW)]
    console = Console(file=io.StringIO(), width=100, force_terminal=False, record=True)
    with LiveScreen(console=console) as screen:
        screen.draw(watch.lines(picture, NOW, 100, 40))
        screen.draw(install_view.lines(client, receipt.events, 100))
    lines += console.export_text().splitlines()
    if run is not None:
        lines += [*install_view.summary(run), *install_view.forecast(run)]
    lines += install_view.boards(picture.scanned)
    lines += [line for row in receipt.rows for line in row_lines(row)]
    lines += [written(one, as_json=False) for one in fold(receipt.events)]
    return [*lines, receipt.summary()]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_thousands_of_random_messages_stop_no_command(seed: int) -> None:
    client = RackClient(FakeBroker().connect, Topics("lab"), name="test")
    receipt = Receipt("command-1")
    printed: list[str] = []
    random_ = RandomMessages(seed, nodes=("pi-1", "pi-2"), likely=LIKELY)
    for number in range(MESSAGES):
        one = random_.next()
        client.on_message(Message(one.topic, one.payload, one.retain, 1))
        if issubclass(one.kind, Reply | Event):
            read(one.payload, one.kind, receipt, printed)
        if number % 20 == 0:
            printed += shown(client, receipt)
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
        printed.append(written(message, as_json=False))
        printed.append(written(message, as_json=True))
