"""Black boxes: any scikit-learn classifier and any Python callable as a `Model`, asked and not looked into.

    model = black_box(fitted_pipeline)                                             # classes and features are its own
    model = black_box(score, classes=["no", "yes"], features=["age", "town"], outputs="probabilities")

The black box is handed the rows themselves (`raw_table.py`) and answers in one of four ways (`answers.py`).
There are no gradients, layers or features, and the model says so in `Model.lacks`, which the disciplines read. In
attribution space a category is a vector with a 1 at its word, so that an average row is the share of each word; the
black box is then handed the word with the largest share. Answers are float64 on the CPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.errors import InputError, nearest
from auditkit.subject.blackbox.answers import (
    ASKED,
    Outputs,
    as_label_logits,
    as_logits,
    lacking,
    reading_caveats,
)
from auditkit.subject.blackbox.identity import callable_digest, estimator_digest
from auditkit.subject.blackbox.raw_table import RawTable, numbers_only, read_table_kinds
from auditkit.subject.data import OUTPUT, Schema, Split, Task, label_text
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing

WORDS = 2**26
"""at most this many numbers of category vectors are held at a time: 256 MiB"""

KNOWN_ROWS = 256


class Indicator(nn.Embedding):
    """The embedding of codes as vectors with a single 1; nothing is stored or learned."""

    def __init__(self, codes: int) -> None:
        nn.Module.__init__(self)
        self.num_embeddings = self.embedding_dim = codes

    def forward(self, input: Tensor) -> Tensor:
        """float32 [..., codes] for int64 codes [...]."""
        return nn.functional.one_hot(input, self.num_embeddings).float()

    def extra_repr(self) -> str:
        return str(self.num_embeddings)


class BlackBox(nn.Module):
    """Encoded rows back to raw ones, the black box's answers to them, and these as logits float64 [n, C]."""

    def __init__(
        self,
        ask: Callable[[Any], Any],
        name: str,
        classes: tuple[str, ...],
        preprocessing: RawTable | ImagePreprocessing,
        outputs: Outputs,
        takes: Literal["frame", "array"],
        several: bool = False,
    ) -> None:
        super().__init__()
        self.several = several
        self.ask, self.name, self.classes = ask, name, classes
        self.preprocessing, self.outputs, self.takes = preprocessing, outputs, takes
        table = preprocessing if isinstance(preprocessing, RawTable) else None
        words = [len(column.vocabulary) for column in table.categorical] if table else []
        self.codes = nn.ModuleList(Indicator(count + 1) for count in words)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Answers of the black box. Raises InputError where it fails or gives what its `outputs` cannot be."""
        rows = self._rows(inputs)
        try:
            answers = self.ask(rows)
        except Exception as problem:
            said = str(problem).splitlines()[0] if str(problem) else "no message"
            raise InputError(
                f"{self.name} failed on {len(rows)} rows, given as {self._shown()}: {type(problem).__name__}: {said}"
            ) from problem
        read = as_label_logits if self.several else as_logits
        return torch.from_numpy(read(answers, len(rows), self.outputs, self.classes, self.name))

    def _rows(self, inputs: tuple[Tensor, ...]) -> Any:
        arrays = [part.detach().cpu() for part in inputs]
        if not isinstance(self.preprocessing, RawTable):
            return arrays[0].numpy()
        codes = None
        if self.codes:
            columns = [seen(arrays[-1][:, place]).argmax(dim=1) for place, seen in enumerate(self.codes)]
            codes = torch.stack(columns, dim=1).numpy()
        frame = self.preprocessing.frame(arrays[0].numpy() if self.preprocessing.numeric else None, codes)
        return frame.to_numpy() if self.takes == "array" else frame

    def _shown(self) -> str:
        if not isinstance(self.preprocessing, RawTable):
            return "an array of images"
        columns = ", ".join(self.preprocessing.features[:10])
        return f"{'an array' if self.takes == 'array' else 'a data frame'} with the columns {columns}"

    def extra_repr(self) -> str:
        return f"{self.name}, outputs={self.outputs}, takes={self.takes}"


@dataclass
class BlackBoxModel(Model):
    """A `Model` around a `BlackBox`.

    identity: SHA-256 of what it is made of, as far as that can be written. opaque: whether it holds more than that;
    answered: then its answers to some rows stand for the rest.
    """

    identity: str = ""
    opaque: bool = False
    answered: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what identifies the black box (`identity.py`), its answers to known rows where it is opaque."""
        return hashlib.sha256(f"{self.identity}{self.answered}".encode()).hexdigest()

    @property
    def parameters(self) -> None:
        """Not known: what is inside cannot be seen."""
        return None

    def layers(self) -> list[str]:
        """None: what is inside cannot be seen."""
        return []

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """float64 [n, classes], without a graph."""
        answers: Tensor = self.module(*inputs)
        return answers

    def safe_rows(self, split: Split) -> int:
        """How many rows one call can take, beside the words of every category column as vectors."""
        box = self.module
        assert isinstance(box, BlackBox)
        words = sum(part.num_embeddings for part in box.codes if isinstance(part, Indicator))
        return min(super().safe_rows(split), 2 ** int(np.log2(max(1, WORDS // max(words, 1)))))

    def introduced_to(self, splits: Sequence[Split]) -> BlackBoxModel:
        """The same model, knowing what its columns hold and which words occur, from all splits of an audit."""
        box, preprocessing = self.module, self.preprocessing
        assert isinstance(box, BlackBox)
        if not isinstance(preprocessing, RawTable):
            return replace(self, answered=self._answers(splits)) if self.opaque else self
        table = read_table_kinds(splits, preprocessing.features, preprocessing.categories)
        fresh = BlackBox(box.ask, box.name, box.classes, table, box.outputs, box.takes, box.several)
        model = replace(self, module=fresh, preprocessing=table, answered="")
        return replace(model, answered=model._answers(splits)) if self.opaque else model

    def _answers(self, splits: Sequence[Split]) -> str:
        """SHA-256 of the answers to up to 256 rows of each split, spread evenly over it."""
        state = hashlib.sha256()
        for split in splits:
            rows = np.unique(np.linspace(0, len(split) - 1, min(len(split), KNOWN_ROWS)).astype(np.int64))
            state.update(self.logits(self.encode(split, rows)).numpy().tobytes())
        return state.hexdigest()


def black_box(
    source: Any,
    *,
    classes: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    outputs: Outputs | None = None,
    takes: Literal["frame", "array"] | None = None,
    categories: Sequence[str] = (),
    preprocessing: ImagePreprocessing | None = None,
    splits: Sequence[Split] = (),
    task: Task | None = None,
) -> BlackBoxModel:
    """A model around a fitted scikit-learn classifier or regressor, or a callable that answers to rows.

    classes: of an estimator they are its `classes_`, and those given must be the same in the same order.
    features: the columns to hand over, in this order; of an estimator fitted on a data frame they are its own.
    outputs: how the answers are to be read (see the module); an estimator by default gives the best that it has, a
    callable must be told. takes: a data frame with named columns, or a plain array; by default what the estimator
    was fitted on, and a data frame for a callable. categories: text columns to hand over as pandas categories, for an
    estimator that was fitted on such. preprocessing: for a callable on images. splits: the data that will
    be audited, so that text columns are known; without them all columns are taken for numbers. task: whether a callable
    predicts a class or, as a "regression", one number for each row; an estimator knows it itself. A "multilabel" one
    answers to each of several labels, whose names are its `classes`.

    Raises InputError for an estimator that is not fitted or no classifier, and for names that are not its own.

    >>> model = black_box(lambda rows: rows["a"] > 0, classes=["no", "yes"], features=["a"], outputs="probabilities")
    >>> model.logits((torch.tensor([[2.0]]),)).softmax(dim=1).round(decimals=6).tolist()
    [[0.0, 1.0]]
    """
    if isinstance(source, nn.Module):
        raise InputError("a torch module is no black box: give it to load_model as it is, and its gradients are used")
    if isinstance(source, type) or not (is_estimator(source) or callable(source)):
        raise InputError(f"a black box is a fitted scikit-learn classifier or a callable, not {source!r}")
    ask, reading = source, outputs
    numbers = _is_regressor(source) if is_estimator(source) else (task == "regression" or outputs == "numbers")
    several = task == "multilabel" and not numbers
    if numbers != (task == "regression") and task is not None:
        raise InputError(f"{_title(source)} predicts {'numbers' if numbers else 'classes'}, so it is no {task}")
    if outputs == "numbers" and not numbers:
        raise InputError(f"{_title(source)} predicts classes, so it gives no numbers; leave outputs out")
    if numbers:
        names, reading = tuple(map(str, classes or (OUTPUT,))), outputs or "numbers"
        if reading != "numbers":
            raise InputError(f"{_title(source)}: a regression gives numbers, not {reading}; leave outputs out")
    if numbers and is_estimator(source):
        ask = source.predict
        features, takes = _own_features(source, features, takes)
        identity, left_out = estimator_digest(source)
    elif numbers:
        identity, left_out = callable_digest(source)
    elif several and is_estimator(source):
        names, (ask, reading) = _label_names(source, classes), _of_labels(source, outputs)
        features, takes = _own_features(source, features, takes)
        identity, left_out = estimator_digest(source)
    elif is_estimator(source):
        names = _own_classes(source, classes)
        reading = outputs or _best(source)
        ask = getattr(source, ASKED[reading], None)
        if ask is None:
            raise InputError(f"{_title(source)} has no {ASKED[reading]}, so it gives no {reading}")
        features, takes = _own_features(source, features, takes)
        identity, left_out = estimator_digest(source)
    else:
        if classes is None or len(classes) < 2:
            named = "labels" if several else "classes"
            raise InputError(f"a callable needs the names of its {named}, in the order of its outputs: classes=[...]")
        if reading is None:
            raise InputError("say what the callable gives: outputs='probabilities', 'logits', 'margins' or 'decisions'")
        names = tuple(map(str, classes))
        identity, left_out = callable_digest(source)
    assert reading is not None
    if reading not in ASKED:
        raise InputError(f"outputs: there is no kind {reading!r}; {nearest(reading, ASKED)}")
    if features is None and preprocessing is None:
        raise InputError(f"{_title(source)} does not say which columns it takes: name them as features=[...]")
    table = preprocessing or numbers_only(features or (), categories)
    module = BlackBox(ask, _title(source), names, table, reading, takes or "frame", several)
    kind: Task = "regression" if numbers else "multilabel" if several else "classification"
    model = BlackBoxModel(
        module,
        names,
        table,
        device=torch.device("cpu"),
        architecture={"path": _title(source), "outputs": reading},
        schema=Schema(
            table.features if isinstance(table, RawTable) else table.columns,
            names,
            task=kind,
        ),
        task=kind,
        origin=f"{_title(source)}, in memory",
        lacks=lacking(reading, several),
        caveats=reading_caveats(reading, left_out),
        identity=identity,
        opaque=bool(left_out),
    )
    return model.introduced_to(splits) if splits else model


def is_estimator(source: Any) -> bool:
    """Whether something behaves as a scikit-learn estimator that predicts."""
    return not isinstance(source, (type, nn.Module)) and hasattr(source, "predict") and hasattr(source, "fit")


def _is_regressor(estimator: Any) -> bool:
    """Whether a scikit-learn estimator predicts numbers."""
    from sklearn.base import is_regressor

    try:
        return bool(is_regressor(estimator))
    except AttributeError:  # no estimator of scikit-learn, though it behaves as one
        return False


def _own_classes(estimator: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    """The estimator's classes, in its order."""
    found = getattr(estimator, "classes_", None)
    if found is None or isinstance(found, list):
        raise InputError(
            f"{_title(estimator)} has no single set of classes_: it is not fitted, no classifier, or has several "
            "outputs (those of yes or no each are task='multilabel')"
        )
    own = tuple(str(label_text(value)) for value in np.asarray(found).tolist())
    if given is not None and tuple(map(str, given)) != own:
        raise InputError(
            f"{_title(estimator)} has the classes {', '.join(own)}, in this order, but {', '.join(map(str, given))} "
            "were named"
        )
    return own


def _label_names(estimator: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names of several labels: those given, as many as the estimator was fitted to."""
    found = getattr(estimator, "classes_", None)
    if found is None:
        raise InputError(f"{_title(estimator)} has no classes_: it is not fitted, or no classifier")
    if given is None or len(given) != len(found):
        shown = "none is" if given is None else f"{len(given)} are"
        raise InputError(f"{_title(estimator)} was fitted to {len(found)} labels, but {shown} named: classes=[...]")
    return tuple(map(str, given))


def _of_labels(estimator: Any, outputs: Outputs | None) -> tuple[Callable[[Any], Any], Outputs]:
    """What to ask an estimator of several labels: probabilities where there are any, else decisions."""
    reading = outputs or ("probabilities" if hasattr(estimator, ASKED["probabilities"]) else "decisions")
    ask = getattr(estimator, ASKED.get(reading, ""), None)
    if ask is None:
        raise InputError(f"{_title(estimator)} has no {ASKED.get(reading, reading)}, so it gives no {reading}")
    return ask, reading


def _best(estimator: Any) -> Outputs:
    """Probabilities where there are any, else margins, else bare decisions."""
    pairwise = getattr(estimator, "decision_function_shape", None) == "ovo" and len(estimator.classes_) > 2
    for outputs in ("probabilities", "margins"):
        if hasattr(estimator, ASKED[outputs]) and not (outputs == "margins" and pairwise):
            return outputs
    return "decisions"


def _own_features(
    estimator: Any, given: Sequence[str] | None, takes: Literal["frame", "array"] | None
) -> tuple[tuple[str, ...] | None, Literal["frame", "array"]]:
    """The columns in the estimator's order, and whether it was fitted on a frame."""
    known = getattr(estimator, "feature_names_in_", None)
    if known is not None:
        own = tuple(map(str, known))
        if given is not None and set(map(str, given)) != set(own):
            odd = sorted(set(map(str, given)) ^ set(own))
            raise InputError(f"{_title(estimator)} was fitted on {', '.join(own)}; features differ in {', '.join(odd)}")
        return own, takes or "frame"
    width = getattr(estimator, "n_features_in_", None)
    if given is not None and width is not None and len(given) != width:
        raise InputError(f"{_title(estimator)} was fitted on {width} columns, but {len(given)} features are named")
    return None if given is None else tuple(map(str, given)), takes or "array"


def _title(source: Any) -> str:
    named = source if hasattr(source, "__qualname__") else type(source)
    return f"{named.__module__}.{named.__qualname__}"
