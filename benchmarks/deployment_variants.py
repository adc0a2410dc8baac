"""Deployment variants against their original: the census MLP and the digits CNN, each on its test rows.

Both are trained by their own recipes; variants are made by `auditkit.derive` with nothing tuned. A cell holds the
figure and, in parentheses, the change to the original with its paired 95 % interval; of latency and energy, the ratio.
Timings are of one thread, all models taking turns; joules come from a power model where there is no counter.
"""

from typing import Any

import torch

from auditkit.subject.builtin import builtin
from auditkit.subject.subject import Subject
from auditkit.training.train import train
from auditkit.variants.compare import Comparison, compare_variants
from auditkit.variants.derive import derive
from auditkit.variants.verdict import title_of
from auditkit.variants.view import side_by_side

TITLE = "Deployment variants against the original"
SUBJECTS = ("adult", "digits")
MADE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("int8", {}),
    ("bf16", {}),
    ("pruned", {"share": 0.5}),
    ("pruned", {"share": 0.8}),
    ("distilled", {}),
)


def compared(name: str) -> Comparison:
    splits, schema = builtin(name)
    model = train(name, splits, schema, device="cpu")
    subject = Subject(name, model, tuple(splits.values()), schema)
    variants = [derive(model, how, splits=splits, **settings) for how, settings in MADE]
    return compare_variants(subject, variants)


def lines(name: str) -> list[dict[str, str]]:
    found = compared(name)
    tables = found.findings.tables
    models, differences = tables["models"].to_pylist(), tables["differences"].to_pylist()
    table = side_by_side(models, differences, [*found.findings.metrics, *found.findings.measured])
    made = [{"subject": name, **line} for line in table.to_pylist()]
    told = {"subject": name, "figure": "worse beyond chance (Holm)", "original": ""}
    for variant in found.sentences:
        told[variant] = "; ".join(title_of(one) for one in found.worse(variant)) or "nothing"
    return [*made, told]


def rows() -> list[dict[str, str]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [line for name in SUBJECTS for line in lines(name)]
    finally:
        torch.set_num_threads(threads)
