"""Texts out of distribution: the share of words that training never showed; tables and images never meet it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import observers_of, run_pass
from auditkit.engine.progress import Progress
from auditkit.ood.analysis import OodAnalysis
from auditkit.ood.registry import chosen
from auditkit.ood.view import sections
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_text
from auditkit.subject.subject import Subject

WORDS = ("good", "bad", "film", "plot", "the", "a")
SCHEMA = Schema(("text",), ("no", "yes"), label="y")


class Reading(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(words, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head((self.embedding(ids) * mask[:, :, None]).sum(dim=1))


def split_of(name: str, role: str, strange: float, seed: int, n: int = 120) -> Split:
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        said = rng.choice(WORDS, 10).tolist()
        texts.append(" ".join(word if rng.random() > strange else f"q{rng.integers(10**9)}" for word in said))
    return Split(name, role, pa.table({"text": texts, "y": ["no", "yes"] * (n // 2)}), SCHEMA)


def test_texts_of_unknown_words_are_noticed():
    torch.manual_seed(0)
    splits = [
        split_of("train", "train", 0.1, 0),
        split_of("validation", "validation", 0.1, 1, 240),
        split_of("test", "test", 0.1, 2),
        split_of("foreign", "ood", 0.8, 3),
    ]
    preprocessing = fit_text(splits[0], "text")
    model = Model(Reading(len(preprocessing.vocabulary) + 2), SCHEMA.classes, preprocessing, device=torch.device("cpu"))
    context = Context(Subject("s", model, tuple(splits), SCHEMA), AuditSpec(), Ledger(), Progress(quiet=True))
    analysis = OodAnalysis()
    findings = analysis.conclude(context, observers_of(run_pass(context, [analysis]), analysis.name))
    area = {row.detail: row for row in findings.metrics if row.metric == "auroc"}
    assert area["unknown_words"].value > 0.99
    assert area["fused"].value > 0.9
    told = {line["detector"]: line["reason"] for line in findings.tables["detectors"].to_pylist()}
    assert "no table" in told["input_mahalanobis"]
    assert "no table" in told["input_max_z"]
    scores = findings.tables["scores"]
    ids, mask = preprocessing.encode(splits[2])
    shares = ((ids == 1).sum(dim=1) / mask.sum(dim=1)).double().numpy()
    column = next(name for name in scores.column_names if name == "unknown_words")
    test = [
        value
        for value, name in zip(scores.column(column).to_pylist(), scores.column("split").to_pylist(), strict=True)
        if name == "test"
    ]
    np.testing.assert_allclose(test, shares, rtol=1e-6)

    strangest = findings.tables["strangest"].to_pylist()
    assert [line["split"] for line in strangest] == ["test"] * 5 + ["foreign"] * 5
    fused = scores.filter(pc.equal(scores.column("split"), "test")).column("fused").to_numpy()
    assert [line["fused"] for line in strangest[:5]] == sorted(fused, reverse=True)[:5]
    for line in strangest:
        split = next(split for split in splits if split.name == line["split"])
        assert line["text"] == split.column("text")[line["row"]].as_py()
    info = SimpleNamespace(rows=findings.metrics, table=lambda name: findings.tables.get(name.removeprefix("ood/")))
    info.caveats, info.info = (
        findings.caveats,
        {"schema": {"classes": SCHEMA.classes}, "spec": AuditSpec().model_dump()},
    )
    section = next(section for section in sections(info) if section.key == "strangest")
    assert section.table.column("text").to_pylist() == [line["text"] for line in strangest]


def test_rows_of_another_kind_never_meet_it():
    for modality in ("table", "image", "series"):
        assert "unknown_words" not in [detector.name for detector in chosen(None, modality=modality)]
