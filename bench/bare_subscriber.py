"""The floor of ingest: paho's ``loop_forever`` with an empty callback.

Run as ``python -m bench.bare_subscriber PORT FILTER``. The one message on ``DONE`` that
ends a burst is answered on ``ACK``; it has a callback of its own, so that the one of
the heartbeats stays empty.
"""

import sys

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

DONE = "bench/done"
ACK = "bench/ack"


def main(port: int, topic_filter: str) -> None:
    """Receive until the process is ended."""

    def ignore(_client: Client, _data: object, _message: MQTTMessage) -> None:
        pass

    def acknowledge(client: Client, _data: object, message: MQTTMessage) -> None:
        client.publish(ACK, message.payload)

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = ignore
    client.message_callback_add(DONE, acknowledge)
    client.connect("127.0.0.1", port)
    client.subscribe([(topic_filter, 0), (DONE, 0)])
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
