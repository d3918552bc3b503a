"""Programs of others that publish vitals: psmqtt and Glances, from PyPI."""

from pathlib import Path

_PSMQTT = """\
logging:
  level: WARNING
  report_status_period_sec: 3600
mqtt:
  broker:
    host: 127.0.0.1
    port: {port}
  clientid: psmqtt-bench
  publish_topic_prefix: psmqtt
schedule:
  - cron: "every {interval_s} seconds"
    tasks:
      - {{task: boot_time}}
      - {{task: cpu_percent}}
      - {{task: getloadavg, params: ["*"]}}
      - {{task: virtual_memory, params: [percent]}}
      - {{task: swap_memory, params: [percent]}}
      - {{task: disk_usage, params: [percent, "/"]}}
      - {{task: disk_io_counters, params: [write_bytes]}}
      - {{task: net_io_counters, params: [bytes_recv]}}
      - {{task: net_io_counters, params: [bytes_sent]}}
"""

_GLANCES = """\
[global]
check_update=False
[mqtt]
host=127.0.0.1
port={port}
password=bench
tls=False
topic=glances
topic_structure=per-plugin
"""

_GLANCES_PLUGINS = "cpu,load,mem,memswap,fs,diskio,network,sensors,uptime"


def psmqtt_config(port: int, interval_s: int) -> str:
    """Return a psmqtt.yaml with the values of our heartbeat."""
    return _PSMQTT.format(port=port, interval_s=interval_s)


def glances_config(port: int) -> str:
    """Return a glances.conf that publishes to the bench's broker."""
    return _GLANCES.format(port=port)


def glances_arguments(config: Path, interval_s: int) -> list[str]:
    """Return the arguments that make Glances a quiet publisher of the same values."""
    return [
        *("--quiet", "--export", "mqtt", "--config", str(config)),
        *("--time", str(interval_s), "--disable-check-update"),
        *("--disable-plugin", "all", "--enable-plugin", _GLANCES_PLUGINS),
    ]
