"""The floor of a rack-wide ping: paho clients that answer what they hear, no more.

Run as ``python -m bench.bare_echo PORT COUNT``. Client n answers ``echo/<n>/order`` on
``echo/<n>/result``.
"""

import sys
import threading

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


def order_topic(number: int) -> str:
    """Returns where client ``number`` is asked."""
    return f"echo/{number}/order"


def result_topic(number: int | str) -> str:
    """Returns where client ``number`` answers; ``+`` makes it a filter."""
    return f"echo/{number}/result"


def start(port: int, number: int) -> None:
    """Connects one client, on a thread of its own."""

    def answer(client: Client, _data: object, message: MQTTMessage) -> None:
        client.publish(result_topic(number), message.payload, qos=1)

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = answer
    client.connect("127.0.0.1", port)
    client.subscribe(order_topic(number), 1)
    client.loop_start()


def main(port: int, count: int) -> None:
    """Answers until the process is ended."""
    for number in range(count):
        start(port, number)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
