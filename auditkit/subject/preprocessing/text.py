"""Text: a column of sentences to the numbers of their words, cut or filled up to one length, and where words stand.

Words are runs of letters, digits and apostrophes, and every other sign by itself, in lower case. Number 0 fills up,
1 stands for a word that training never showed often enough. What the words of a row were, `tokens` says; an explanation
of a sentence is one of these words.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from auditkit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from auditkit.subject.data import Split

PAD, UNKNOWN, SPECIAL = 0, 1, 2
LONGEST = 256
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_")


class TextPreprocessing(BaseModel):
    """A text column to `(ids int64 [n, length], mask float32 [n, length])`.

    Of the ids 0 fills up, 1 is an unknown word, then come the vocabulary's words; the mask is 1 where there is a word.
    It is an input of its own, so that the words can be exchanged for others while the sentence keeps its length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["text"] = "text"
    column: str
    vocabulary: tuple[str, ...]
    length: int = Field(ge=1)

    @property
    def modality(self) -> Literal["text"]:
        """What rows are."""
        return "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column the model sees."""
        return (self.column,)

    @property
    def pad(self) -> int:
        """The number that fills up."""
        return PAD

    @property
    def held(self) -> tuple[int, ...]:
        """The places of inputs that say where words stand and are no part of what is explained."""
        return (1,)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary, start=SPECIAL)}

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of the given rows (all where None), on the CPU. Raises InputError where there is no such text."""
        return self.encode_texts(texts_of(split, self.column, rows))

    def encode_texts(self, texts: list[str]) -> tuple[Tensor, ...]:
        """The inputs of any texts. A text without a word is one unknown word."""
        import torch

        ids = np.full((len(texts), self.length), PAD, dtype=np.int64)
        for row, text in enumerate(texts):
            known = [self._numbers.get(word, UNKNOWN) for word in words(text)[: self.length]] or [UNKNOWN]
            ids[row, : len(known)] = known
        return (torch.from_numpy(ids), torch.from_numpy((ids != PAD).astype(np.float32)))

    def knows(self, text: str) -> bool:
        """Whether every word of a text is one that training showed."""
        return all(word in self._numbers for word in words(text))

    def tokens(self, split: Split, rows: np.ndarray | None = None) -> list[list[str]]:
        """The words of each row at the positions of its inputs, without those that only fill up."""
        return [words(text)[: self.length] or [""] for text in texts_of(split, self.column, rows)]

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: a sentence that begins with the vocabulary's last word and is filled up."""
        import torch

        ids = torch.full((rows, self.length), PAD, dtype=torch.int64)
        ids[:, 0] = len(self.vocabulary) + SPECIAL - 1
        return (ids, (ids != PAD).float())

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {"words": len(self.vocabulary) + SPECIAL, "length": self.length}

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Texts that were cut, that are missing, or none of whose words is known."""
        missing = split.column(self.column).null_count
        texts = [words(text) for text in texts_of(split, self.column)]
        cut = sum(len(found) > self.length for found in texts)
        strange = sum(not any(word in self._numbers for word in found) for found in texts)
        found = [
            (missing, "missing, read as one unknown word"),
            (cut, f"longer than {self.length} words, cut there"),
            (strange - missing, "without any word known from training"),
        ]
        return [(self.column, count, what) for count, what in found if count > 0]


def words(text: str) -> list[str]:
    """The words of a text.

    >>> words("It's GREAT, isn't it?")
    ["it's", 'great', ',', "isn't", 'it', '?']
    """
    return _WORD.findall(text.lower())


def texts_of(split: Split, column: str, rows: np.ndarray | None = None) -> list[str]:
    """A text column as strings, a missing one empty. Raises InputError for a column that holds no text."""
    found = split.column(column)
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise InputError(
            f"split {split.name!r}: column {column!r} must hold text, found {found.type}; name the column of sentences"
        )
    if rows is not None:
        found = found.take(pa.array(rows))
    return [text or "" for text in found.to_pylist()]


def fit_text(
    split: Split, column: str, most: int = 20_000, least: int = 2, length: int | None = None
) -> TextPreprocessing:
    """The vocabulary of the training texts: their `most` frequent words among those seen `least` times.

    length: how many words of a text are read; when left out, what is enough for 99 of 100 training texts.
    """
    found = [words(text) for text in texts_of(split, column)]
    seen = Counter(word for text in found for word in text)
    kept = sorted((word for word, count in seen.items() if count >= least), key=lambda word: (-seen[word], word))[:most]
    if not kept:
        raise InputError(f"split {split.name!r}: {column!r} has no word that occurs {least} times; give it more rows")
    if length is None:
        length = int(np.clip(np.quantile([len(text) for text in found], 0.99, method="higher"), 1, LONGEST))
    return TextPreprocessing(column=column, vocabulary=tuple(kept), length=length)
