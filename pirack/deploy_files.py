"""The units and rules that come with the package, wherever it is installed."""

from pathlib import Path

from broker.common.errors import ConfigError

_HERE = Path(__file__).parent


def directory() -> Path:
    """Return the directory of units and rules: in the wheel, or in the checkout.

    Raises:
        ConfigError: This installation lacks it.
    """
    return _find("deploy/pirack-agent.service").parent


def mosquitto_conf() -> Path:
    """Return the annotated configuration of a broker in production.

    Raises:
        ConfigError: This installation lacks it.
    """
    return _find("mosquitto.conf")


def _find(name: str) -> Path:
    for base in (_HERE, _HERE.parent):
        if (base / name).exists():
            return base / name
    text = f"{_HERE / name} is missing: install the pirack package again"
    raise ConfigError(text)
