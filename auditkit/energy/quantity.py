"""Quantities as a reader meets them: 0.0123 J is 12.3 mJ, with no more digits than the range supports."""

from __future__ import annotations

from auditkit.theme import NO_VALUE, interval, number

_PREFIXES = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def prefix_of(value: float, unit: str) -> tuple[float, str]:
    """The factor and the unit in which a value is shown; seconds take no prefix above one.

    >>> prefix_of(0.0123, "J"), prefix_of(4200.0, "J"), prefix_of(4200.0, "s")
    ((0.001, 'mJ'), (1000.0, 'kJ'), (1.0, 's'))
    """
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor and not (unit == "s" and factor > 1):
            return factor, prefix + unit
    return (1.0, unit) if value == 0 else (1e-6, f"µ{unit}")


def quantity(value: float | None, unit: str, lower: float | None = None, upper: float | None = None) -> str:
    """A value in its fitting unit; a dash where it is absent.

    >>> quantity(0.0123, "J", 0.004, 0.02), quantity(None, "J")
    ('12 mJ', '–')
    """
    if value is None:
        return NO_VALUE
    factor, name = prefix_of(value, unit)
    edges = [None if edge is None else edge / factor for edge in (lower, upper)]
    return number(value / factor, name, *edges)


def span(value: float | None, unit: str, lower: float | None, upper: float | None) -> str:
    """The range of a value, in the unit that `quantity` shows the value in.

    >>> span(0.0123, "J", 0.004, 0.02)
    '[4, 20]'
    """
    if value is None or lower is None or upper is None:
        return NO_VALUE
    factor, _ = prefix_of(value, unit)
    return interval(lower / factor, upper / factor)
