"""Groups that may be one group spelled in different ways: `F`, `f `, `female` beside `Female`.

They are judged as they stand, since only people can tell whether they mean the same; but whoever reads the numbers
should know, because a group split in two is a group too small.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from auditkit.evidence.metrics import Caveat


def plain(name: str) -> str:
    """A name without case, accents, spaces and punctuation; itself where nothing else is in it.

    >>> plain(" Asian-Pac. Islander "), plain("É"), plain("-")
    ('asianpacislander', 'e', '-')
    """
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in decomposed if character.isalnum()) or name


def look_alikes(names: Sequence[str]) -> list[list[str]]:
    """Names that differ in spelling only, set by set, in sorted order.

    >>> look_alikes(["F", "M", "f ", "m"])
    [['F', 'f '], ['M', 'm']]
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        alike[plain(name)].append(name)
    return sorted(sorted(spellings) for spellings in alike.values() if len(spellings) > 1)


def spelling_caveats(groups: Mapping[str, Sequence[str]]) -> list[Caveat]:
    """A caveat for each set of look-alikes. groups: attribute → its values."""
    return [
        Caveat(
            "fairness",
            f"{attribute}: {', '.join(map(repr, spellings))} look like one group spelled differently; they are judged "
            "as different groups, so write them alike if they are one",
            attribute,
        )
        for attribute, names in groups.items()
        for spellings in look_alikes(names)
    ]
