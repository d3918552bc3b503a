"""Checks of the broker's program: found, new enough, with its plugin and its tools."""

import shutil
from collections.abc import Iterator

from broker import mosquitto
from broker.errors import BrokerError
from pirack.doctor.finding import Finding, fail, ok, warn
from pirack.up import tools

OLDEST = (2, 0)


def check() -> Iterator[Finding]:
    """Check what ``pirack up`` would start."""
    try:
        found = mosquitto.find()
        version = found.version()
    except BrokerError as error:
        what = str(error).removesuffix(f"; {mosquitto.WAY_OUT}")
        yield fail("mosquitto", what, mosquitto.WAY_OUT)
        return
    if new_enough(version):
        yield ok("mosquitto", f"{version}, {found.program}, with {found.plugin.name}")
    else:
        yield fail(
            "mosquitto", f"{version} at {found.program} is too old", mosquitto.WAY_OUT
        )
    publish = tools.find("mosquitto_pub", found.program)
    if shutil.which(publish):
        yield ok("mosquitto tools", shutil.which(publish) or publish)
    else:
        advice = "to paste lines: sudo apt-get install mosquitto-clients"
        yield warn("mosquitto tools", "mosquitto_pub is not installed", advice)


def new_enough(version: str) -> bool:
    """Return whether PiRack can use this version, for example ``2.0.11``."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return numbers >= OLDEST
