"""Sentences are no values to group people by: they enter no slice, error tree or measure of consistency."""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import observers_of, run_pass
from auditkit.engine.progress import Progress
from auditkit.fairness.analysis import FairnessAnalysis
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import TextPreprocessing
from auditkit.subject.subject import Subject

SENTENCES = ("a good film", "a bad film", "the plot is good")


class Reading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(6, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head((self.embedding(ids) * mask[:, :, None]).sum(dim=1))


def test_sentences_are_counted_by_nobody():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    schema = Schema(("text",), ("no", "yes"), label="y", positive="yes", sensitive=("sex",))
    table = {
        name: rng.choice(values, 600)
        for name, values in (("text", SENTENCES), ("y", ("no", "yes")), ("sex", ("f", "m")))
    }
    split = Split("test", "test", pa.table({name: list(values) for name, values in table.items()}), schema)
    preprocessing = TextPreprocessing(column="text", vocabulary=("good", "bad", "film", "plot"), length=5)
    model = Model(Reading(), schema.classes, preprocessing, device=torch.device("cpu"))
    spec = AuditSpec(fairness={"replicates": 200})
    context = Context(Subject("s", model, (split,), schema), spec, Ledger(), Progress(quiet=True))
    analysis = FairnessAnalysis()
    findings = analysis.conclude(context, observers_of(run_pass(context, [analysis]), analysis.name))
    assert any(row.metric == "selection_rate" and row.value is not None for row in findings.metrics)
    told = [str(found.to_pylist()) for name, found in findings.tables.items() if "identity" not in name]
    assert not any(sentence in text for sentence in SENTENCES for text in told)
