"""`reviews`: 6,000 made-up product reviews, liked or not, and whom each of them mentions.

Sentences are drawn from the templates and words of `reviews.yaml`, all our own. Words alone do not give a review away:
a quarter of the clauses deny a word of the other class ("far from clumsy"), and a third of the reviews hold a clause
that speaks against the one that decides, before or after it ("although the lid is awful, ..."). Two in a hundred carry
the wrong class, as people press the wrong button. `mentions` (she, he, they) has nothing to do with the class, so a
model that treats its groups differently learned that by chance.

`films` speaks of another domain in other words, `shuffled` is the test reviews with their words in any order, and
`transliterated` the test reviews in another alphabet, of which a model knows no word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from auditkit.subject.builtin.dealing import deal
from auditkit.subject.data import Schema, Split

SEED, ROWS, FILMS, MISTAKES = 2011, 6_000, 1_000, 0.02
MENTIONS = ("she", "she", "he", "he", "they")
SCHEMA = Schema(("review",), ("negative", "positive"), "sentiment", "positive", ("mentions",))
ALPHABET = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувшьыз")
Choose = Callable[[Sequence[Any]], Any]


def reviews() -> tuple[dict[str, Split], Schema]:
    """Reviews with their class (`sentiment`), whom they mention (`mentions`, sensitive) and what they are of."""
    random = np.random.default_rng(SEED)
    choose = _chooser(random)
    lines: dict[str, dict[str, str]] = {}
    while len(lines) < ROWS:
        line = _review(choose)
        lines.setdefault(line["review"], line)
    table = pa.Table.from_pylist(list(lines.values()))
    strata = [table.column(name).to_pylist() for name in ("sentiment", "mentions", "product")]
    splits: dict[str, Split] = {
        role: Split(role, role, table.take(pa.array(rows)), SCHEMA, origin="built-in reviews")
        for role, rows in deal(list(zip(*strata, strict=True)), SEED).items()
    }
    test = splits["test"].table
    texts = test.column("review").to_pylist()
    shuffled = [" ".join(random.permutation(text.split())) for text in texts]
    strange = [text.translate(ALPHABET) for text in texts]
    others = {
        "films": (_films(choose), "made-up film reviews"),
        "shuffled": (_reworded(test, shuffled).drop_columns(["sentiment"]), "test with its words in any order"),
        "transliterated": (_reworded(test, strange), "test in Cyrillic letters"),
    }
    for name, (rows, origin) in others.items():
        splits[name] = Split(name, "ood", rows, SCHEMA, origin=f"built-in reviews, {origin}")
    return splits, SCHEMA


def _review(choose: Choose) -> dict[str, str]:
    """One review: its text, class, whom it mentions and what it is of."""
    words, mentions, liked = _words(), choose(MENTIONS), choose((False, True))
    who, product = words["people"][mentions], choose(list(words["products"]))
    verbs = {one: many if mentions == "they" else one for one, many in words["verbs"].items()}
    filled = {name: choose(words[name]) for name in ("when", "often", "month")} | verbs
    filled |= {"person": choose(who["persons"]), "they": who["they"]}
    filled["thing"] = choose(words["products"][product]["things"])
    parts = words["products"][product]["parts"]
    part = choose(parts)
    other_part = choose([one for one in parts if one != part])
    for name, of, good in (("main", part, liked), ("side", other_part, not liked)):
        own, other = ("good", "bad") if good else ("bad", "good")
        clause = choose(words[choose(("plain", "plain", "plain", "denied"))])
        filled[name] = clause.format_map(
            filled | {"part": of, "own": choose(words[own]), "other": choose(words[other])}
        )
    shape = choose(("alone", "alone", "against"))
    text = " ".join(choose(words[name]) for name in ("openings", shape)).format_map(filled)
    mistaken = choose(range(ROWS)) < MISTAKES * ROWS
    sentiment = SCHEMA.classes[int(liked ^ mistaken)]
    return {"review": text, "sentiment": sentiment, "mentions": mentions, "product": product}


def _films(choose: Choose) -> pa.Table:
    """Film reviews in words of their own, with their class."""
    words = _words()["films"]
    lines: dict[str, str] = {}
    while len(lines) < FILMS:
        liked = choose((0, 1))
        filled = {name: choose(words[name]) for name in ("genre", "feature", "crew")}
        text = choose(words["whole"]).format_map(filled | {"opinion": choose(words[("bad", "good")[liked]])})
        lines[text] = SCHEMA.classes[liked]
    return pa.table({"review": list(lines), "sentiment": list(lines.values())})


def _reworded(table: pa.Table, texts: list[str]) -> pa.Table:
    return table.set_column(table.column_names.index("review"), "review", pa.array(texts))


def _chooser(random: np.random.Generator) -> Choose:
    """What picks one of several; the numbers for it are drawn many at a time, which is faster."""

    def numbers() -> Iterator[float]:
        while True:
            yield from random.random(10_000).tolist()

    stream = numbers()
    return lambda among: among[int(next(stream) * len(among))]


@cache
def _words() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("reviews.yaml").read_text(encoding="utf-8"))
    return content
