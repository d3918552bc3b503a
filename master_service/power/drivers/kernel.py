"""Whether the kernel keeps a GPIO output when the process that held it ends.

Raspberry Pi's kernels do (``persist_gpio_outputs``), unless ``dtparam=strict_gpiod`` is
in config.txt; the mainline kernel makes the line an input and the relay drops out, but
for a new one (6.12 has it, 6.1 has not) whose command line sets the same parameter.
Sources: raspberrypi/linux#6117 and #6150; "GPIO Usage on Raspberry Pi Devices".
"""

from pathlib import Path

import msgspec

MODULES = Path("/sys/module")
_DRIVERS = ("pinctrl_bcm2835", "pinctrl_rp1")
_TRUE = frozenset({"Y", "1"})


class Keeping(msgspec.Struct, frozen=True):
    """What becomes of an output.

    Args:
        keeps: Whether it stays as it is.
        why: Where that is known from, in words.
    """

    keeps: bool
    why: str


def keeping(modules: Path = MODULES) -> Keeping:
    """Return what this kernel does; where it does not say, it is taken not to keep.

    Args:
        modules: ``/sys/module``.
    """
    found = [one for one in (_driver(modules / name) for name in _DRIVERS) if one]
    for one in found:
        if not one.keeps:
            return one
    if found:
        return found[0]
    why = "this kernel has no persist_gpio_outputs (mainline, or no Raspberry Pi)"
    return Keeping(keeps=False, why=why)


def _driver(module: Path) -> Keeping | None:
    parameters = module / "parameters"
    persists = _parameter(parameters / "persist_gpio_outputs")
    if persists is not None:
        return Keeping(
            keeps=persists,
            why=f"{module.name}.persist_gpio_outputs={'Y' if persists else 'N'}",
        )
    strict = _parameter(parameters / "strict_gpiod")
    if strict is not None:
        return Keeping(
            keeps=not strict,
            why=f"{module.name}.strict_gpiod={'Y' if strict else 'N'}",
        )
    return None


def _parameter(path: Path) -> bool | None:
    try:
        return path.read_text().strip() in _TRUE
    except OSError:
        return None
