"""What performance says of generators with planted faults, and of a copy of a row; and what the reader is told."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import select
from auditkit.performance.analysis import PerformanceAnalysis
from auditkit.performance.view import sections
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_images
from auditkit.subject.subject import Subject

SCHEMA = Schema(("images",), ("generated", "real"), "kind")


def pictures(n, seed, places=(0, 1, 2, 3)):
    """A soft spot in one of four corners, and which."""
    rng = np.random.default_rng(seed)
    corners = rng.choice(places, size=n)
    made = rng.normal(0, 0.3, size=(n, 1, 4, 4))
    for row, corner in enumerate(corners):
        made[row, 0, 3 * (corner // 2), 3 * (corner % 2)] += 4
    return made.astype(np.float32), [f"corner {corner}" for corner in corners]


class Forger(nn.Module):
    """Knows its training rows; makes what `fault` says."""

    one_class, outlier = True, 0

    def __init__(self, fault, known):
        super().__init__()
        self.fault = fault
        self.register_buffer("known", known)
        self.flatten, self.head = nn.Flatten(), nn.Linear(16, 1)

    def forward(self, images):
        return self.head(self.flatten(images))

    def generate(self, n, seed):
        if self.fault == "copies":
            rows = torch.randint(len(self.known), (n,), generator=torch.Generator().manual_seed(seed))
            return self.known[rows] + 0.001
        made, _ = pictures(n, 1000 + seed, places=(1, 2) if self.fault == "collapsed" else (0, 1, 2, 3))
        return (torch.from_numpy(made) - self.mean) / self.scale


def audited(fault, modes=None):
    splits = []
    for place, (name, n) in enumerate({"train": 600, "validation": 200, "test": 400}.items()):
        images, shown = pictures(n, place)
        kinds = ["real"] * n
        if name == "test":
            kinds[:50] = ["generated"] * 50
        table = pa.table({"kind": kinds, "shows": shown})
        splits.append(Split(name, name, table, SCHEMA, {"images": images}))
    preprocessing = fit_images(splits[0])
    torch.manual_seed(0)
    network = Forger(fault, preprocessing.encode(splits[0])[0])
    network.mean, network.scale = preprocessing.mean, preprocessing.scale
    model = Model(network, SCHEMA.classes, preprocessing, device=torch.device("cpu"))
    spec = AuditSpec(performance={"generated": 500, "modes": modes, "replicates": 200})
    context = Context(Subject("forger", model, tuple(splits), SCHEMA), spec, Ledger(), Progress(quiet=True))
    analysis = PerformanceAnalysis()
    findings = analysis.conclude(context, run_pass(context, [analysis])["performance"])
    evidence = SimpleNamespace(
        rows=findings.metrics,
        caveats=findings.caveats,
        info={"schema": {"classes": SCHEMA.classes}},
        table=lambda name: findings.tables.get(name.removeprefix("performance/")),
    )
    return findings, {section.key: section for section in sections(evidence)}


@pytest.mark.parametrize("fault", ["none", "copies", "collapsed"])
def test_planted_faults_are_told_and_a_faithful_generator_is_not_accused(fault):
    findings, shown = audited(fault)
    (share,) = select(findings.metrics, metric="memorised_share", detail="pixels")
    (chance,) = select(findings.metrics, metric="memorised_share_by_chance", detail="pixels")
    (covered,) = select(findings.metrics, metric="modes_covered")
    assert (share.lower > chance.upper) == (fault == "copies")
    assert covered.value == (0.5 if fault == "collapsed" else 1.0)
    assert ("it copies training rows" in shown["generated"].finding) == (fault == "copies")
    forgotten = "It has forgotten corner 0, corner 3."
    assert (shown["modes"].finding == forgotten) == (fault == "collapsed")
    (recall,) = select(findings.metrics, metric="generated_recall", detail="pixels")
    (yardstick,) = select(findings.metrics, metric="generated_recall_of_held_out", detail="pixels")
    assert (recall.upper < yardstick.lower) == (fault == "collapsed")


def test_pictures_stand_beside_the_training_row_nearest_to_them():
    findings, _ = audited("copies")
    lines = findings.tables["generated"].to_pylist()
    made = [line for line in lines if line["what"] == "generated"]
    near = [line for line in lines if line["what"] == "nearest"]
    assert len(made) == len(near) == 24
    for ours, theirs in zip(made, near, strict=True):
        assert ours["training_row"] == theirs["training_row"]
        assert ours["distance"] == pytest.approx(0.004, rel=0.01)
        assert ours["pixels"] == pytest.approx(theirs["pixels"], abs=1e-3)


def test_the_same_seed_gives_the_same_figures():
    once, again = (audited("none")[0] for _ in range(2))
    assert once.metrics == again.metrics
    assert all(table.equals(again.tables[name]) for name, table in once.tables.items())


def test_kinds_are_told_by_the_column_that_is_named():
    with pytest.raises(InputError, match="shows"):
        audited("none", modes="show")
    assert select(audited("none", modes="shows")[0].metrics, metric="mode_share")


def test_the_gap_is_between_rows_of_the_class_that_was_trained_on():
    findings, _ = audited("none")
    (gap,) = select(findings.metrics, metric="generalisation_gap")
    (recall,) = select(findings.metrics, metric="class_recall", split="test", detail="real")
    (train,) = select(findings.metrics, metric="accuracy", split="train")
    assert gap.value == pytest.approx(train.value - recall.value)
