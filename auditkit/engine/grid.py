"""How much carbon a kilowatt-hour of a country's grid carries, from the yearly mix that codecarbon ships.

codecarbon answers an unknown country with the world average and says nothing, so the country is checked here. The
figures are location-based yearly averages (Our World in Data) in grams of CO₂ equivalent per kilowatt-hour.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from auditkit.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Grid:
    """A country's grid: ISO 3166 alpha-3 code, name, grams of CO₂e per kWh, the year they are of, and their source."""

    country: str
    name: str
    g_per_kwh: float
    year: int
    source: str = "yearly average of the country's mix, Our World in Data, as shipped with codecarbon"

    def grams(self, joules: float) -> float:
        """Grams of CO₂ equivalent that so many joules carry.

        >>> Grid("XXX", "Nowhere", 360.0, 2023).grams(3_600_000)
        360.0
        """
        return joules / 3.6e6 * self.g_per_kwh


def grid_of(country: str) -> Grid:
    """The grid of a country given by its ISO 3166 alpha-3 code.

    Raises InputError for a code without figures, with the codes that may have been meant.

    >>> grid_of("DEU").name
    'Germany'
    """
    mix = _mix()
    code = str(country).strip().upper()
    if code not in mix:
        raise InputError(
            f"energy.country {country!r} is not a country with a known grid; give its ISO 3166 three-letter code; "
            + _meant(code, mix)
        )
    entry = mix[code]
    return Grid(code, str(entry["country_name"]), float(entry["carbon_intensity"]), int(entry["year"]))


@cache
def _mix() -> dict[str, dict[str, Any]]:
    """Country code → its record. Read from codecarbon's data without importing codecarbon."""
    spec = find_spec("codecarbon")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(next(iter(spec.submodule_search_locations)))
    content = json.loads((folder / "data" / "private_infra" / "global_energy_mix.json").read_text(encoding="utf-8"))
    return {code: entry for code, entry in content.items() if entry.get("carbon_intensity") is not None}


def _meant(code: str, mix: dict[str, dict[str, Any]]) -> str:
    """Which codes a wrong one could stand for: by country name, or by its letters in their order (DE → DEU)."""
    named = [known for known, entry in mix.items() if str(entry["country_name"]).upper() == code]
    lettered = [known for known in mix if code and known[0] == code[0] and _in_order(code, known)]
    meant = named or lettered[:5]
    if not meant:
        return nearest(code, mix)
    return "did you mean " + " or ".join(f"{known!r} ({mix[known]['country_name']})" for known in meant) + "?"


def _in_order(letters: str, word: Iterable[str]) -> bool:
    rest = iter(word)
    return all(letter in rest for letter in letters)
