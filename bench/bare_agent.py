"""The floor of an agent: psutil values as JSON over paho, and nothing else.

Run as ``python -m bench.bare_agent PORT INTERVAL_S TOPIC [HOST]``.
"""

import json
import sys
import threading
import time

import psutil
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion


def vitals() -> dict[str, object]:
    """Returns what a heartbeat holds, read the shortest way."""
    network = psutil.net_io_counters()
    sensors = psutil.sensors_temperatures()
    disks = psutil.disk_io_counters()
    return {
        "ts": time.time(),
        "uptime_s": time.time() - psutil.boot_time(),
        "cpu_percent": psutil.cpu_percent(),
        "load": psutil.getloadavg(),
        "memory_percent": psutil.virtual_memory().percent,
        "swap_percent": psutil.swap_memory().percent,
        "disk_percent": psutil.disk_usage("/").percent,
        "temperature_c": next((rows[0].current for rows in sensors.values()), None),
        "rx_bytes": network.bytes_recv,
        "tx_bytes": network.bytes_sent,
        "disk_written_bytes": disks.write_bytes if disks else 0,
    }


def main(port: int, interval_s: float, topic: str, host: str = "127.0.0.1") -> None:
    """Publishes until the process is ended."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()
    ended = threading.Event()
    while not ended.wait(interval_s):
        client.publish(topic, json.dumps(vitals()))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
