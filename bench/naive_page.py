"""The page one would write first: a NiceGUI label per value, each with a binding.

Run as ``python -m bench.naive_page MQTT_PORT HTTP_PORT NODES``. It reads the same
heartbeats, decodes them with the same code and draws the same values as the dashboard's
rack; only how they reach the browser differs.
"""

import sys

from nicegui import ui
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from bench import feeder, invented
from broker.contract.messages import Heartbeat, decode
from broker.contract.topics import NodeLeaf


class Board:
    """What a tile is bound to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = feeder.name(number)
        self.state = "online"
        self.cpu = 0.0
        self.memory = 0.0
        self.temperature = 0.0


def listen(port: int, boards: list[Board]) -> None:
    """Writes every heartbeat into its board, on paho's own thread."""
    by_topic = {
        invented.topic(board.number, NodeLeaf.HEARTBEAT): board for board in boards
    }

    def take(_client: Client, _data: object, message: MQTTMessage) -> None:
        beat = decode(bytes(message.payload), Heartbeat)
        board = by_topic[message.topic]
        board.cpu = beat.cpu_percent or 0.0
        board.memory = beat.memory_percent or 0.0
        board.temperature = beat.temperature_c or 0.0

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = take
    client.connect("127.0.0.1", port)
    client.subscribe(invented.TOPICS.node("+", NodeLeaf.HEARTBEAT))
    client.loop_start()


def draw(boards: list[Board]) -> None:
    """Builds the page: a card per stack, a row per board, a label per value."""
    for first in range(0, len(boards), feeder.BOARDS):
        with ui.card():
            for board in boards[first : first + feeder.BOARDS]:
                _row(board)


def _row(board: Board) -> None:
    with ui.row().props(f"data-node={board.number}"):
        ui.label(board.name)
        ui.label().bind_text_from(board, "state")
        ui.label().bind_text_from(board, "cpu", lambda value: f"{value:.0f} %")
        ui.label().bind_text_from(board, "memory", lambda value: f"{value:.0f} %")
        ui.label().classes("temperature").bind_text_from(
            board, "temperature", lambda value: f"{value:.0f} °C"
        )


def main(mqtt_port: int, http_port: int, nodes: int) -> None:
    """Serves until the process is ended."""
    boards = [Board(number) for number in range(nodes)]
    listen(mqtt_port, boards)

    @ui.page("/")
    def index() -> None:
        draw(boards)

    ui.run(
        host="127.0.0.1",
        port=http_port,
        reload=False,
        show=False,
        reconnect_timeout=20,
        show_welcome_message=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
