"""The text of a first audit.yaml and recipe.yaml: settings, and beside each guess why it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auditkit.starter.guess import Guess
from auditkit.starter.models import Known
from auditkit.starter.sources import Source
from auditkit.starter.yaml_text import remark, remarks, said

RECURRENT = "auditkit.training.architectures.recurrent:Recurrent"
SHARES = "{validation: 0.2, test: 0.2, seed: 0}"
SHOWN = 40
"""at most this many columns that were left out are listed"""
LAYERS = 5
"""so many layers, those next to the answer, are listed"""


def audit_text(name: str, source: Source, found: Guess, known: Known | None, bundle: str | None, base: Path) -> str:
    """An audit.yaml. bundle: the folder of the model that the recipe beside it will train, or None."""
    head = [
        f"# A first audit of {remark(name)}. What is called a guess was told from names and values: make sure of it.",
        "# Paths are relative to this file or absolute.",
        f"name: {said(name)}",
    ]
    return _joined(
        head,
        _model(found, known, bundle),
        _data(source, base, bundle is not None),
        ["  # ood: {elsewhere: rows.parquet}   # rows unlike the training ones: are they noticed?"],
        _columns(found, known),
        _analyses(source, found, known),
        _gates(found, known),
        ["seed: 0"],
    )


def recipe_text(name: str, source: Source, found: Guess, base: Path) -> str:
    """A recipe.yaml: an MLP for tables, a CNN for pictures, an LSTM for sentences."""
    text = source.array is None and [name for name, kind in found.kinds.items() if kind == "text"] == [*found.features]
    kind = "image" if source.array is not None else "text" if text else "table"
    rows = source.table.num_rows
    settings = {"table": (30, 0.003, 6), "image": (20, 0.003, 6), "text": (6, 0.002, 2)}[kind]
    features = [source.array] if source.array is not None else list(found.features)
    numbers = found.task == "regression"
    return _joined(
        [
            f"# How to train a network on {remark(name)}: an {_NETWORKS[kind]}. Any setting can be changed, and any",
            "# other one added: see the documentation of training recipes.",
            f"name: {said(name)}",
        ],
        _data(source, base, True),
        [
            "columns:",
            f"  label: {said(found.label)}   # {remark(found.why)}",
            *_task(found),
            *([f"  classes: {said(list(found.classes))}"] if found.classes else []),
            *([f"  positive: {said(found.positive)}"] if found.positive else []),
            f"  sensitive: {said(list(found.sensitive))}   # the network does not see these",
            f"  features: {said(features)}   # what the network sees",
        ],
        _left_out(found),
        [f"preprocessing: {{kind: {kind}}}"],
        [f"architecture: {RECURRENT}"] if kind == "text" else [],
        ["loss: mse   # or mae, huber: less is made of the few rows that are far off"] if numbers else [],
        [
            f"epochs: {settings[0]}   # at most; training stops once the validation loss no longer falls",
            f"batch_size: {64 if rows < 5000 else 256}",
            f"learning_rate: {settings[1]}",
            f"patience: {settings[2]}",
            "seed: 0",
        ],
    )


_NETWORKS = {"table": "MLP", "image": "image CNN", "text": "LSTM"}


def _joined(*parts: Sequence[str]) -> str:
    return "\n".join(line for part in parts for line in part) + "\n"


def _model(found: Guess, known: Known | None, bundle: str | None) -> list[str]:
    if bundle is not None:
        return [f"model: {said(bundle)}   # what `auditkit train` makes of the recipe beside this file"]
    if known is None:
        assert found.answers is not None
        return [
            "# There is no model here: what one answered stands in the data.",
            f"predictions:   # {remark(found.answers.why)}",
            *[f"  {key}: {said(value)}" for key, value in found.answers.setting.items()],
        ]
    lines = [f"model: {said(known.setting)}"]
    if known.architecture is not None:
        lines.append(f"architecture: {said(known.architecture)}   # its code runs, because it is named here")
    if "preprocessing" in known.takes:
        lines.append(f"preprocessing: {said(known.takes['preprocessing'])}   # a guess: how pictures become inputs")
    return lines


def _data(source: Source, base: Path, dealt: bool) -> list[str]:
    """Where the rows are; one file is dealt out where a model is yet to be trained, and is the test split otherwise."""
    if not source.whole:
        return ["data:", *[f"  {part}: {said(_from(path, base))}" for part, path in source.files.items()]]
    path = said(_from(source.files["rows"], base))
    if dealt:
        return [
            "data:",
            f"  rows: {path}",
            f"  split: {SHARES}   # the rest is train; recipe and audit must say the same here",
            "  # rows are dealt one by one; where several are of one person or document, give files for each split",
        ]
    return [
        "data:",
        f"  test: {path}",
        "  # train: the rows it was trained on (the reference, on which out-of-distribution detectors are fitted)",
        "  # validation: rows on which thresholds and calibration are set",
    ]


def _columns(found: Guess, known: Known | None) -> list[str]:
    lines = ["columns:", f"  label: {said(found.label)}   # {remark(found.why)}", *_task(found)]
    if known is not None and "classes" in known.takes:
        lines.append(f"  classes: {said(list(known.classes))}   # a guess: in the order of the model's outputs")
    positive = found.positive
    if positive is not None:
        lines.append(f"  positive: {said(positive)}   # the class a person gains, or is flagged by")
    elif found.task == "classification":
        lines.append("  # positive: the class a person gains, or is flagged by; fairness is judged once it is named")
    lines.append(f"  sensitive: {said(list(found.sensitive))}   # {remark(found.why_sensitive)}")
    if known is not None and "features" in known.takes:
        lines.append(
            f"  features: {said(list(known.takes['features']))}   # a guess: what the model takes, in this order"
        )
    if known is None and found.answers is not None:
        lines.append(f"  features: {said(list(found.features))}   # where are predictions wrong? Nothing personal")
        lines += _left_out(found)
    return lines


def _task(found: Guess) -> list[str]:
    """What is predicted, where it is no class."""
    return [f"  task: regression   # {remark(found.why_task)}"] if found.task == "regression" else []


def _left_out(found: Guess) -> list[str]:
    told = [f"{name.strip() or '(without a name)'}: {reason}" for name, reason in found.left_out.items()]
    if not told:
        return []
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    head = "guessed to be no features; name them there to keep them:"
    return remarks([head, *[f"  {line}" for line in [*told[:SHOWN], *more]]], 2)


def _analyses(source: Source, found: Guess, known: Known | None) -> list[str]:
    if known is None and found.answers is not None:
        judged = found.sensitive and (found.positive or found.task == "regression")
        chosen = ["performance", *(["fairness"] if judged else [])]
        if "train" in source.files:
            chosen.append("ood")
        return [f"analyses: {said(chosen)}   # the others would need the model itself"]
    if known is None or not known.layers:
        return []
    layers = said(list(known.layers[-LAYERS:]))
    return [f"# activations: {{layers: {remark(layers)}}}   # all of its {len(known.layers)} layers when left out"]


def _gates(found: Guess, known: Known | None) -> list[str]:
    if found.task == "regression":
        return _gates_of_numbers(found)
    least = round(found.base_rate, 2) or 0.5
    told = "yours to set: always saying the commonest class reaches this"
    lines = ["gates:   # suggestions", f"  performance/accuracy: {{at_least: {least}}}   # {told}"]
    if found.sensitive and found.positive:
        of = said(list(found.sensitive))
        lines.append(f"  fairness/demographic_parity_ratio: {{at_least: 0.8, of: {of}}}   # the four-fifths rule")
    return lines


def _gates_of_numbers(found: Guess) -> list[str]:
    """Suggestions where a number is predicted: better than always saying the mean, and as right for every group."""
    told = "yours to set: always saying the mean reaches 0"
    lines = ["gates:   # suggestions", f"  performance/r2: {{at_least: 0.1}}   # {told}"]
    if found.sensitive:
        most, of = float(f"{found.spread / 10:.2g}"), said(list(found.sensitive))
        told = "yours to set, in the label's unit: here a tenth of its standard deviation"
        lines.append(f"  fairness/mean_error_difference: {{at_most: {said(most)}, of: {of}}}   # {told}")
    return lines


def _from(path: Path, base: Path) -> str:
    """Relative where the file lies below the folder of the spec, else absolute."""
    path, base = path.resolve(), base.resolve()
    if not path.is_relative_to(base):
        return str(path)
    near = str(path.relative_to(base))
    return f"./{near}" if near.startswith("~") else near
