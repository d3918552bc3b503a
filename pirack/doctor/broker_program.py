"""Checks of the broker's program: found, new enough, with its plugin and its tools."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import BrokerError
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import BROKEN, STORE
from pirack.doctor.finding import Finding, fail, ok, warn
from pirack.up import client_tools

OLDEST = (2, 0)


def check() -> Iterator[Finding]:
    """Checks what ``pirack up`` would start."""
    try:
        found = mosquitto.find()
        version = found.version()
    except BrokerError as error:
        what = str(error).removesuffix(f"; {mosquitto.HINT}")
        yield fail("mosquitto", what, mosquitto.HINT)
        return
    if new_enough(version):
        yield ok("mosquitto", f"{version}, {found.program}, with {found.plugin.name}")
    else:
        yield fail(
            "mosquitto",
            f"{version} at {found.program} is too old",
            mosquitto.HINT,
        )
    publish = client_tools.find("mosquitto_pub", found.program)
    if shutil.which(publish):
        yield ok("mosquitto tools", shutil.which(publish) or publish)
    else:
        advice = "to paste lines: sudo apt-get install mosquitto-clients"
        yield warn("mosquitto tools", "mosquitto_pub is not installed", advice)


def stores(data: Path) -> Iterator[Finding]:
    """Checks whether the broker's store had to be put aside.

    Args:
        data: Where the rack keeps its state.
    """
    pattern = f"{STORE}{BROKEN}*"
    found = sorted([*data.glob(pattern), *data.glob(f"*/{pattern}")])
    if found:
        moment = found[-1].name.rpartition(BROKEN)[2]
        text = f"could not be read, and was put aside at {moment} UTC as {found[-1]}"
        advice = (
            "a power cut does that, a dying card too: look at the card (dmesg | grep "
            "mmc), then remove the file"
        )
        yield warn("broker store", text, advice)


def new_enough(version: str) -> bool:
    """Returns whether PiRack can use this version, for example ``2.0.11``."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return numbers >= OLDEST
