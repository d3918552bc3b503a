"""Repeatable chance: the same seed gives the same rack, today and tomorrow."""

import uuid

_MASK = (1 << 64) - 1


def mix(*keys: int) -> int:
    """Fold numbers into one of 64 bits that looks random.

    The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
    number generators", 2014); far cheaper than seeding ``random.Random``.
    """
    value = 0
    for key in keys:
        value = (value ^ key) + 0x9E3779B97F4A7C15 & _MASK
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        value ^= value >> 31
    return value


def share(*keys: int) -> float:
    """Return a number from 0 up to 1 that depends on the keys alone."""
    return (mix(*keys) >> 11) / (1 << 53)


def between(low: float, high: float, *keys: int) -> float:
    """Return a number from ``low`` to ``high`` that depends on the keys alone."""
    return low + (high - low) * share(*keys)


def boot_id(*keys: int) -> str:
    """Return a boot id in the kernel's form (a random UUID)."""
    value = mix(*keys, 1) << 64 | mix(*keys, 2)
    return str(uuid.UUID(int=value, version=4))
