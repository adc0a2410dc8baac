"""What the outputs of a Hugging Face model are, told from its config: classes, several labels, or a number; and their
names.

`problem_type` says it where it is there. Without it, several outputs are classes, and one output is a number, as
transformers trains it, unless the caller names the two classes whose logit it is; a caveat says how it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from auditkit.errors import InputError
from auditkit.evidence.metrics import Caveat
from auditkit.subject.data import OUTPUT, Task

SEVERAL = "multi_label_classification"


def predicted_by(config: Any, classes: Sequence[str] | None, task: str | None, folder: Path) -> Task:
    """Classes, several labels or a number: the caller's word, the config's, and of one output a number."""
    said = getattr(config, "problem_type", None)
    if task == "multilabel" or said == SEVERAL:
        return "multilabel"
    two = classes is not None and len(classes) > 1
    number = said == "regression" or task == "regression"
    if not number and (task is not None or said is not None or config.num_labels > 1 or two):
        return "classification"
    if config.num_labels != 1:
        raise InputError(
            f"{folder}: has {config.num_labels} outputs, and of a regression one number for each row is audited; give "
            "a model of one output"
        )
    return "regression"


def read_as(config: Any, predicted: Task, task: str | None) -> Iterator[Caveat]:
    """What to tell where nobody said that the one output is a number."""
    if predicted == "regression" and task is None and getattr(config, "problem_type", None) is None:
        text = (
            "The config has one output and names no problem_type, so it is read as a number, as transformers trains "
            "it; where it is the logit of a class, name the two classes."
        )
        yield Caveat("model", text, "model", "note")


def _classes(config: Any, given: Sequence[str] | None, folder: Path) -> tuple[str, ...]:
    """The config's class names in the order of the outputs, or those given where it has none of its own."""
    own = tuple(str(config.id2label.get(place, f"LABEL_{place}")) for place in range(config.num_labels))
    if len(own) == 1:
        if given is None or len(given) != 2:
            raise InputError(f"{folder}: has one output; name the two classes that it tells apart: classes=[...]")
        return tuple(map(str, given))
    unnamed = own == tuple(f"LABEL_{place}" for place in range(len(own)))
    names = tuple(map(str, given)) if given is not None else own
    if names != own and not (unnamed and len(names) == len(own)):
        raise InputError(
            f"{folder}: tells {', '.join(own[:10])} apart, in this order, but the classes are said to be "
            f"{', '.join(names[:10])}"
        )
    if len(set(names)) < len(names):
        raise InputError(f"{folder}: two of its classes have the same name ({', '.join(names[:10])}); rename them")
    return names


def _labels(config: Any, given: Sequence[str] | None, folder: Path) -> tuple[str, ...]:
    """The names of several labels: the config's, or where it has none of its own those given, or their columns."""
    own = tuple(str(config.id2label.get(place, f"LABEL_{place}")) for place in range(config.num_labels))
    named = tuple(map(str, given)) if given is not None else own
    if len(named) != len(own) or (set(named) == set(own) and named != own):
        raise InputError(
            f"{folder}: its outputs are the labels {', '.join(own[:10])}, in this order, but those named are "
            f"{', '.join(named[:10])}"
        )
    return named if own == tuple(f"LABEL_{place}" for place in range(len(own))) else own


def _number(config: Any, given: Sequence[str] | None, folder: Path) -> tuple[str, ...]:
    """What the number is called: as it is named, by the caller or the config."""
    if given is not None:
        return tuple(map(str, given))
    own = str(config.id2label.get(0, "LABEL_0"))
    return (OUTPUT if own == "LABEL_0" else own,)


_NAMES = {"classification": _classes, "multilabel": _labels, "regression": _number}


def names_of(predicted: Task, config: Any, given: Sequence[str] | None, folder: Path) -> tuple[str, ...]:
    """The names of the outputs in their order. given: the caller's. Raises InputError where they cannot be these."""
    return _NAMES[predicted](config, given, folder)
