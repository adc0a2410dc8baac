from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.engine.meter import Meter
from auditkit.engine.reader import Part, Reading
from auditkit.errors import InputError
from auditkit.performance.observer import Predictions, log_softmax
from auditkit.report import write_reports
from auditkit.spec import AuditSpec, OodSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject
from auditkit.variants.answers import Answers
from auditkit.variants.compare import compare_variants
from auditkit.variants.derive import derive
from auditkit.variants.differences import differences
from auditkit.variants.measures import Rows
from auditkit.variants.record import keep
from auditkit.variants.size import size_of
from auditkit.variants.speed import energies, energy_ratio, latencies, median_interval

FEATURES, CLASSES = ("x", "g"), ("no", "yes")
SCHEMA = Schema(FEATURES, CLASSES, "y", "yes", ("town",))


class TwoTowns(nn.Module):
    """The sign of x, worked out by other hidden units for each town: `|x| < 10` opens the units of its own alone."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2, 4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[1.0, -20.0], [-1.0, -20.0], [1.0, 20.0], [-1.0, 20.0]]))
            self.hidden.bias.copy_(torch.tensor([0.0, 0.0, -20.0, -20.0]))
            self.head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 1.0, -1.0]]))
            self.head.bias.copy_(torch.tensor([0.0, 0.01]))

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.relu(self.hidden(rows)))


def subject(n: int = 2000, small: float = 0.05) -> Subject:
    rng = np.random.default_rng(5)
    splits = []
    for role in ("train", "validation", "test", "ood"):
        x = rng.normal(size=n) * (3 if role == "ood" else 1)
        g = rng.random(n) < small
        y = x + 0.7 * rng.normal(size=n) > 0
        table = pa.table(
            {"x": x, "g": g * 1.0, "y": np.where(y, "yes", "no"), "town": np.where(g, "Smallville", "Bigtown")}
        )
        name = "far" if role == "ood" else role
        splits.append(Split(name, role, table, SCHEMA))  # type: ignore[arg-type]
    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=name) for name in FEATURES))
    model = Model(TwoTowns().eval(), CLASSES, preprocessing, device=torch.device("cpu"), schema=SCHEMA)
    return Subject("towns", model, tuple(splits), SCHEMA)


def test_a_copy_of_the_original_differs_in_nothing() -> None:
    towns = subject(600, 0.3)
    copy = derive(towns.model, "pruned", share=0.0)
    found = compare_variants(towns, [copy], speed=False, replicates=300)
    assert len(found.compared) > 12
    for one in found.compared:
        assert one.difference.value == 0, one.metric
        assert one.difference.lower <= 0 <= one.difference.upper
        assert one.original == one.value
        assert not one.judged(0.95)
    assert {one.metric for one in found.compared} >= {"accuracy", "log_loss", "ood_auroc", "worst_group_accuracy"}
    assert "no decision changed" in found.sentences["pruned 0"]


def test_weights_that_only_one_town_needs_are_missed_there() -> None:
    towns = subject()
    harmed = derive(towns.model, "pruned", share=0.0)
    with torch.no_grad():
        harmed.module.hidden.weight[2:] = 0.0
        harmed.module.hidden.bias[2:] = 0.0
    found = compare_variants(towns, [harmed], speed=False, replicates=500)
    by = {(one.metric, one.group): one for one in found.compared if not one.split}
    worst = by["worst_group_accuracy", ""]
    assert worst.difference.upper < -0.1
    assert by["accuracy", "Smallville"].judged(0.95) == "worse"
    assert by["accuracy", "Bigtown"].difference.value == 0
    assert not by["accuracy", "Bigtown"].judged(0.95)
    assert "Smallville (town)" in next(iter(found.sentences.values()))
    models = found.findings.tables["models"].to_pylist()
    assert models[1]["worst_group"] == "Smallville (town)"
    churn = {line["group"]: line["changed"] for line in found.findings.tables["churn"].to_pylist()}
    assert churn["Bigtown"] == 0 < churn["Smallville"] == churn[""]


def predictions(labels: np.ndarray, decided: np.ndarray) -> Predictions:
    logits = np.zeros((len(labels), 2))
    logits[np.arange(len(labels)), decided] = 2.0
    return Predictions(np.arange(len(labels)), labels, log_softmax(logits))


def test_harm_to_a_few_is_caught_where_accuracy_over_all_is_unchanged() -> None:
    """60 of 200 people of a small group become wrong, 60 of the 3,800 others right: accuracy is what it was."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=4000)
    few = np.arange(4000) < 200
    right = np.ones(4000, dtype=bool)
    right[rng.choice(np.flatnonzero(~few), 700, replace=False)] = False
    right[:30] = False
    new = right.copy()
    new[30:90] = False
    new[np.flatnonzero(~right & ~few)[:60]] = True
    rows = Rows(labels, 2, {("town", "few"): few, ("town", "many"): ~few}, 1, 30, 15)
    model = subject(50).model
    answers = [
        Answers(name, model, predictions(labels, np.where(kept, labels, 1 - labels)), None)
        for name, kept in (("original", right), ("variant", new))
    ]
    found = {(one.metric, one.group): one for one in differences(rows, answers[0], answers[1:], AuditSpec())}
    overall, worst = found["accuracy", ""], found["worst_group_accuracy", ""]
    assert overall.difference.value == 0
    assert not overall.judged(0.95)
    assert worst.difference.value == pytest.approx(110 / 200 - (3100 / 3800))
    assert worst.difference.upper < 0
    assert worst.judged(0.95) == "worse"
    assert found["accuracy", "few"].judged(0.95) == "worse"
    assert found["accuracy", "few"].difference.value == pytest.approx(-0.3)


def test_a_model_that_gives_no_numbers_is_wrong_not_missing() -> None:
    towns = subject(400, 0.3)
    broken = derive(towns.model, "pruned", share=0.0)
    with torch.no_grad():
        broken.module.head.weight[1, 2:] = float("nan")
    found = compare_variants(towns, [broken], speed=False, replicates=200)
    by = {(one.metric, one.group): one for one in found.compared}
    assert by["accuracy", "Smallville"].value == 0 or by["accuracy", ""].value == 0
    assert any("not finite" in caveat.text for caveat in found.findings.caveats)
    for row in found.findings.metrics:
        assert row.value is None or np.isfinite(row.value)


def test_groups_too_small_are_named_and_not_judged() -> None:
    towns = subject(400, 0.02)
    found = compare_variants(towns, [derive(towns.model, "bf16")], speed=False, replicates=200)
    assert not any(one.group == "Smallville" for one in found.compared)
    assert not any(one.metric == "worst_group_accuracy" for one in found.compared)
    assert any("Smallville (town)" in caveat.text for caveat in found.findings.caveats)


def test_other_classes_and_no_test_rows_are_refused() -> None:
    towns = subject(100, 0.3)
    other = replace(towns.model, classes=("no", "maybe"))
    with pytest.raises(InputError, match="same classes"):
        compare_variants(towns, [other], speed=False)
    with pytest.raises(InputError, match="no test split"):
        compare_variants(replace(towns, splits=towns.splits[:2]), [derive(towns.model, "bf16")], speed=False)
    with pytest.raises(InputError, match="no variant"):
        compare_variants(towns, [], speed=False)


def test_size_counts_what_is_there() -> None:
    towns = subject(50)
    whole, pruned, small = (
        size_of(m) for m in (towns.model, derive(towns.model, "pruned"), derive(towns.model, "int8"))
    )
    assert whole.parameters == pruned.parameters == 8 + 4 + 8 + 2
    assert pruned.zeros - whole.zeros + 4 == 8  # four of the head's and so of the smallest weights were zero already
    assert pruned.bytes == whole.bytes
    weights = towns.model.module.hidden.weight.numel() + towns.model.module.head.weight.numel()
    assert small.parameters == whole.parameters + 4 + 2  # a scale for each row
    assert weights == 16


class Wall:
    """A reader that draws a steady power by a scripted clock."""

    def __init__(self, watts: float) -> None:
        self.watts, self.joules = watts, 1.0

    def start(self) -> None:
        pass

    def stop(self) -> Reading:
        return Reading((Part("cpu", self.joules, self.joules, self.joules, "measured", "a script"),))


def test_twice_the_energy_is_a_ratio_of_two() -> None:
    towns = subject(64, 0.3)
    reader = Wall(10.0)
    blocks = energies(
        [towns.model, towns.model], towns.splits[2], 16, Meter("DEU", reader=reader), blocks=3, seconds=0.01
    )
    for before, after in zip(*blocks, strict=True):
        before.cost.joules, after.cost.joules = 2.0 * before.rows, 4.0 * after.rows
    ratio = energy_ratio(*blocks)
    assert ratio is not None
    assert (ratio.value, ratio.lower, ratio.upper) == pytest.approx((2, 2, 2))
    blocks[0][1].cost.joules = None
    assert energy_ratio(*blocks) is None


class Slow(nn.Module):
    """Works three times as hard for the same answer."""

    def __init__(self, inner: nn.Module, times: int) -> None:
        super().__init__()
        self.inner, self.times = inner, times

    def forward(self, rows: Tensor) -> Tensor:
        for _ in range(self.times):
            output = self.inner(rows)
        return output


def test_a_slower_model_is_slower_block_by_block() -> None:
    towns = subject(256, 0.3)
    slow = replace(towns.model, module=Slow(towns.model.module, 8), penultimate=None)
    times = latencies([towns.model, slow], towns.splits[2], 1, blocks=7, seconds=0.004)
    ratio = median_interval(times[1] / times[0])
    assert times.shape == (2, 7)
    assert ratio.lower > 2


def test_the_comparison_is_kept_as_evidence_and_told_in_reports(tmp_path) -> None:
    towns = subject(500, 0.3)
    spec = AuditSpec(name="towns", ood=OodSpec(), gates={"variants/accuracy_change": {"at_least": -0.2}})
    variants = [derive(towns.model, "bf16"), derive(towns.model, "pruned", share=0.5)]
    found = compare_variants(towns, variants, spec=spec, speed=False, replicates=200)
    kept = keep(found, towns, spec, tmp_path)
    assert keep(found, towns, spec, tmp_path).folder == kept.folder
    assert kept.verdict in ("pass", "fail")
    assert {gate.gate for gate in kept.gates} == {"variants/accuracy_change"}
    sections = kept.sections()["variants"]
    assert [section.key for section in sections] == ["verdicts", "side-by-side", "won", "who"]
    table = next(section.table for section in sections if section.key == "side-by-side")
    assert table.column_names == ["figure", "original", "bf16", "pruned 50 %"]
    figures = table.column("figure").to_pylist()
    assert {"accuracy", "worst group's accuracy", "demographic parity gap", "OOD AUROC, far", "bytes on disk"} <= {
        *figures
    }
    text = write_reports(kept, kept.folder, ("markdown", "html"))[0].read_text()
    assert "worst group" in text
    shown = next(section for section in sections if section.key == "verdicts").figure
    dots = sum(len(trace.x) for trace in shown.data)
    judged = [one for one in found.compared if one.family and not one.attribute]
    assert 0 < dots <= len(judged)


def test_the_same_seed_gives_the_same_comparison() -> None:
    towns = subject(300, 0.3)
    first, second = (
        compare_variants(towns, [derive(towns.model, "pruned")], speed=False, replicates=200).findings for _ in range(2)
    )
    assert first.metrics == second.metrics
    assert first.tables["differences"].equals(second.tables["differences"])
