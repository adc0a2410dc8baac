"""Text through a tokenizer: a column of sentences to the pieces a pre-trained network was trained on.

The tokenizer is Hugging Face's `tokenizer.json`, kept whole in the record, so that it travels with the model and no
other file is needed. It brings the special pieces ([CLS], [SEP], <s>, ...), cuts long texts, and the ids of its pieces
are the rows of the network's word embedding. Rows are filled up on the right with `pad`. What the pieces of a row
were, `tokens` says in the text's own letters, a piece that goes on with a word behind ##.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from auditkit.errors import InputError
from auditkit.subject.preprocessing.text import LONGEST, texts_of

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from torch import Tensor

    from auditkit.subject.data import Split

NEEDS = 'reading a tokenizer needs the extra huggingface: pip install "auditkit[huggingface]"'
BLANK = "\u2423"
"""how a piece of blanks is shown"""
PADS = ("[PAD]", "<pad>", "<PAD>", "<|padding|>", "<|pad|>", "<|endoftext|>")


class TokenizerPreprocessing(BaseModel):
    """A text column to `(ids int64 [n, length], mask [n, length])`, the mask 1 where there is a piece, 0 after it.

    tokenizer: the content of tokenizer.json. length: how many pieces of a text are read, special ones among them.
    pad: the id that fills up. mask: the mask's number type; a network that takes whole numbers only needs int64.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["tokenizer"] = "tokenizer"
    column: str
    tokenizer: str = Field(repr=False)
    length: int = Field(ge=1)
    pad: int = Field(0, ge=0)
    mask: Literal["float32", "int64"] = "float32"

    @field_validator("tokenizer")
    @classmethod
    def _whole(cls, content: str) -> str:
        try:
            return json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            raise ValueError("must be the content of a tokenizer.json") from None

    @property
    def modality(self) -> Literal["text"]:
        """What rows are."""
        return "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column the model sees."""
        return (self.column,)

    @property
    def held(self) -> tuple[int, ...]:
        """The places of inputs that say where pieces stand and are no part of what is explained."""
        return (1,)

    @property
    def special(self) -> frozenset[int]:
        """The ids of pieces that stand for no letters: beginnings, ends, fillings, masks."""
        added = self._made.get_added_tokens_decoder()
        return frozenset(number for number, piece in added.items() if piece.special)

    @cached_property
    def _made(self) -> Tokenizer:
        made = open_tokenizer(self.tokenizer, f"preprocessing of column {self.column!r}")
        made.no_padding()
        made.enable_truncation(self.length)
        return made

    def encode(self, split: Split, rows: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """The inputs of the given rows (all where None), on the CPU. Raises InputError where there is no such text."""
        return self.encode_texts(texts_of(split, self.column, rows))

    def encode_texts(self, texts: list[str]) -> tuple[Tensor, ...]:
        """The inputs of any texts. A text without a piece is one filling piece that is looked at."""
        import torch

        ids = np.full((len(texts), self.length), self.pad, dtype=np.int64)
        mask = np.zeros((len(texts), self.length), dtype=self.mask)
        for row, found in enumerate(self._encoded(texts)):
            ids[row, : len(found.ids)] = found.ids
            mask[row, : max(1, len(found.ids))] = 1
        return (torch.from_numpy(ids), torch.from_numpy(mask))

    def tokens(self, split: Split, rows: np.ndarray | None = None) -> list[list[str]]:
        """The pieces of each row at the positions of its inputs, special ones too, without those that only fill up."""
        texts = texts_of(split, self.column, rows)
        return [_pieces(text, found) for text, found in zip(texts, self._encoded(texts), strict=True)]

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """Made-up inputs: a text that begins with the last piece of the vocabulary and is filled up."""
        import torch

        ids = torch.full((rows, self.length), self.pad, dtype=torch.int64)
        ids[:, 0] = self._made.get_vocab_size() - 1
        mask = torch.zeros((rows, self.length), dtype=getattr(torch, self.mask))
        mask[:, 0] = 1
        return (ids, mask)

    def arguments(self) -> dict[str, Any]:
        """What a network that takes these inputs must be built with."""
        return {"words": self._made.get_vocab_size(), "length": self.length}

    def longest(self, split: Split) -> int:
        """How many pieces the longest text has, as far as it is read."""
        return max(1, *(len(found.ids) for found in self._encoded(texts_of(split, self.column))))

    def reading(self, length: int) -> TokenizerPreprocessing:
        """The same, reading another number of pieces."""
        return TokenizerPreprocessing(**{**self.model_dump(), "length": length})

    def irregularities(self, split: Split) -> list[tuple[str, int, str]]:
        """Texts that were cut, that are missing, or that hold nothing the tokenizer knows."""
        missing = split.column(self.column).null_count
        unknown = {"[UNK]", "<unk>"}
        cut = strange = 0
        for found in self._encoded(texts_of(split, self.column)):
            cut += bool(found.overflowing)
            own = [piece for piece, special in zip(found.tokens, found.special_tokens_mask, strict=True) if not special]
            strange += all(piece in unknown for piece in own)
        counted = [
            (missing, "missing, read as an empty text"),
            (cut, f"longer than {self.length} pieces, cut there"),
            (strange - missing, "without any piece known to the tokenizer"),
        ]
        return [(self.column, count, what) for count, what in counted if count > 0]

    def _encoded(self, texts: list[str]) -> list[Encoding]:
        found: list[Encoding] = self._made.encode_batch(texts)
        return found


def _pieces(text: str, found: Encoding) -> list[str]:
    """The pieces of a text in its own letters; special ones under their names."""
    pieces: list[str] = []
    before: int | None = None
    for piece, (start, end), word in zip(found.tokens, found.offsets, found.word_ids, strict=True):
        letters = text[start:end].strip()
        if word is None or not letters:
            pieces.append(piece if piece.strip(" Ġ▁Ċ") else BLANK)
        else:
            pieces.append(f"##{letters}" if word == before else letters)
        before = word
    return pieces or [""]


def open_tokenizer(content: str, where: str) -> Tokenizer:
    """A tokenizer from the content of tokenizer.json. Raises InputError where it is none, or cannot be read here."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(f"{where}: {NEEDS}") from None
    try:
        return Tokenizer.from_str(content)
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise InputError(f"{where}: not a tokenizer that can be read ({said[:200]}); give tokenizer.json") from None


def read_tokenizer(path: str | Path) -> str:
    """The content of a tokenizer.json, named by itself or by its folder. Raises InputError where there is none."""
    path = Path(path).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such tokenizer; a folder needs tokenizer.json, which "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a tokenizer.json (it is no text); save the tokenizer again") from None


def fit_tokenizer(
    split: Split, column: str, tokenizer: str | Path, length: int | None = None, pad: int | None = None
) -> TokenizerPreprocessing:
    """A tokenizer as it is, read from a file or folder; only the length is found from the training texts.

    length: how many pieces of a text are read; when left out, what is enough for 99 of 100 training texts. pad: the id
    that fills up; when left out, that of the tokenizer's own filling piece.
    """
    content = read_tokenizer(tokenizer)
    made = open_tokenizer(content, str(tokenizer))
    if length is None:
        made.no_padding()
        made.no_truncation()
        counts = [len(found.ids) for found in made.encode_batch(texts_of(split, column))]
        length = int(np.clip(np.quantile(counts, 0.99, method="higher"), 1, LONGEST))
    pad = filling(made) if pad is None else pad
    return TokenizerPreprocessing(column=column, tokenizer=content, length=length, pad=pad)


def filling(made: Tokenizer) -> int:
    """The id that fills up: the tokenizer's own, or that of a piece with a name usual for it, or 0."""
    if made.padding is not None:
        return int(made.padding["pad_id"])
    known = [number for name in PADS if (number := made.token_to_id(name)) is not None]
    return known[0] if known else 0
