"""Random contents of every file that vitals and details are read from."""

import warnings
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.contract.messages import Details, Heartbeat, decode, encode
from node_agent import report
from node_agent.vitals import LinuxBoard

Machine = Callable[[str], Path]

FILES = (
    "proc/stat",
    "proc/loadavg",
    "proc/meminfo",
    "proc/mounts",
    "proc/net/dev",
    "proc/diskstats",
    "sys/class/thermal/thermal_zone0/temp",
    "proc/uptime",
    "proc/vmstat",
    "proc/self/mountinfo",
    "proc/net/route",
    "proc/spl/kstat/zfs/arcstats",
    "proc/device-tree/model",
    "proc/device-tree/serial-number",
    "proc/sys/kernel/random/boot_id",
    "proc/sys/kernel/hostname",
    "etc/os-release",
    "sys/class/thermal/thermal_zone0/type",
    "sys/class/net/eth0/address",
    "sys/class/net/eth0/type",
    "sys/class/net/eth0/addr_assign_type",
    "sys/fs/ext4/mmcblk0p2/errors_count",
    "sys/devices/platform/soc/soc:firmware/get_throttled",
)
WORDS = st.sampled_from(
    [
        *(
            b"rw",
            b"ro",
            b"/",
            b" - ",
            b"ext4",
            b"overlay",
            b"lowerdir=/,",
            b"cpu",
            b"0",
        ),
        *(b"-1", b"nan", b"inf", b"1e400", b"9" * 5000, b"eth0:", b"MemTotal:", b"kB"),
        *(b"\n", b"\0", b"\xff", b"\\040", b"size", b"c_min", b"00000000", b":"),
    ]
)
CONTENT = st.lists(WORDS | st.binary(max_size=8), max_size=24).map(b" ".join)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    contents=st.dictionaries(st.sampled_from(FILES), CONTENT, min_size=1, max_size=6)
)
def test_whatever_the_files_of_a_machine_say_it_beats_and_has_details(
    machine: Machine, contents: dict[str, bytes]
) -> None:
    root = machine("pi4")
    for file, content in contents.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # psutil warns of fields it misses
        board = LinuxBoard(root, clock_synced=lambda: None)
        vitals, facts = board.vitals(), board.facts()
    beat = report.heartbeat(vitals, session="s", seq=1, ts=1.0, extra={})
    assert decode(encode(beat), Heartbeat) == beat
    details = report.details(facts, session="s", interval_s=10, abilities=(), ts=1.0)
    decode(report.encode_details(details), Details)
    for file in contents.keys() - {"proc/device-tree/model"}:
        (root / file).unlink()
