"""The analysis on models whose reasons are known, and what it says when something is wrong."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.analysis import AttributionAnalysis
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.progress import Progress
from auditkit.errors import InputError
from auditkit.evidence.metrics import Findings, select, to_table
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing
from auditkit.subject.subject import Subject

FEATURES = ("strong", "weak", "unused", "kind", "noise")
SCHEMA = Schema(features=FEATURES, classes=("no", "yes"), label="y", positive="yes", sensitive=("sex", "kind"))


class Known(nn.Module):
    """log-odds = 4 strong + weak + (±2 by kind); `unused` and `noise` do nothing."""

    def __init__(self, coupled: bool = False, broken: bool = False) -> None:
        super().__init__()
        self.kind = nn.Embedding(3, 2)
        self.noise = nn.Embedding(4, 2)
        self.noise.weight.data = torch.arange(8.0).reshape(4, 2)
        self.kind.weight.data = torch.tensor([[0.0, 0.0], [2.0, 5.0], [-2.0, 5.0]])
        self.coupled, self.broken = coupled, broken

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        x = x - x.mean(dim=0) if self.coupled else x
        x = x + torch.where(x > 1.5, float("inf"), 0.0) if self.broken else x
        score = 4 * x[:, 0] + x[:, 1] + self.kind(c[:, 0])[:, 0] + 0 * self.noise(c[:, 1]).sum(dim=1)
        return score[:, None]


def split(name: str, n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    columns = {feature: rng.normal(size=n) for feature in FEATURES[:3]}
    columns |= {"kind": rng.choice(["one", "two"], n), "noise": rng.choice(["p", "q", "r"], n)}
    columns |= {"sex": np.where(np.arange(n) % 4 == 0, "rare <b>", "often"), "y": rng.choice(["no", "yes"], n)}
    return Split(name, name, pa.table(columns), SCHEMA)


def subject(module: nn.Module, train: bool = True, n: int = 200) -> Subject:
    preprocessing = TablePreprocessing(
        numeric=tuple(Numeric(name=name) for name in FEATURES[:3]),
        categorical=(
            Categorical(name="kind", vocabulary=("one", "two")),
            Categorical(name="noise", vocabulary=("p", "q", "r")),
        ),
    )
    model = Model(module, SCHEMA.classes, preprocessing, device=torch.device("cpu"))
    splits = ((split("train", 300, 1),) if train else ()) + (split("test", n, 2),)
    return Subject("known", model, splits, SCHEMA)


def conclude(audited: Subject, **spec) -> Findings:
    context = Context(audited, AuditSpec(**spec), Ledger(), Progress(quiet=True))
    return AttributionAnalysis().conclude(context, {})


@pytest.fixture(scope="module")
def findings() -> Findings:
    return conclude(subject(Known()), attribution={"rows": 120})


def test_planted_importance_is_found_by_every_method(findings):
    for method in ("integrated_gradients", "gradient_x_input", "occlusion"):
        share = {
            row.detail.split(" · ")[1]: row.value
            for row in select(findings.metrics, metric="importance")
            if row.detail.startswith(method)
        }
        assert sum(share.values()) == pytest.approx(1)
        assert share["strong"] > share["kind"] > share["weak"]
        assert share["unused"] == share["noise"] == 0


def test_attributions_of_a_linear_model_are_its_terms(findings):
    audited = subject(Known())
    test, train = audited.splits[1].table, audited.splits[0].table
    lines = findings.tables["attribution/explanations"].to_pylist()
    weight = {"strong": 4.0, "weak": 1.0}
    kinds = {"one": 2.0, "two": -2.0}
    mean_kind = np.mean([kinds[value] for value in train.column("kind").to_pylist()])
    for line in lines:
        if line["column"] in weight:
            value = test.column(line["column"])[line["row"]].as_py()
            mean = np.mean(train.column(line["column"]).to_numpy())
            assert line["value"] == pytest.approx(weight[line["column"]] * (value - mean), abs=1e-4)
        elif line["column"] == "kind":
            assert line["value"] == pytest.approx(kinds[test.column("kind")[line["row"]].as_py()] - mean_kind, abs=1e-4)


def test_every_number_adds_up_on_a_linear_model(findings):
    for method in ("integrated_gradients", "gradient_x_input", "occlusion"):
        (row,) = select(findings.metrics, metric="completeness_gap_p95", detail=method)
        assert row.value < 1e-4
    (row,) = select(findings.metrics, metric="steps_maximum")
    assert row.value == 8
    assert all(r.value == pytest.approx(1) for r in select(findings.metrics, metric="agreement") if r.status == "ok")


def test_sensitive_columns_that_the_model_sees_are_weighed(findings):
    (row,) = select(findings.metrics, metric="sensitive_importance", detail="integrated_gradients")
    (kind,) = select(findings.metrics, metric="importance", detail="integrated_gradients · kind")
    assert row.value == pytest.approx(kind.value)
    assert row.lower < row.value < row.upper


def test_small_groups_are_named_and_not_judged(findings):
    lines = findings.tables["attribution/global"].to_pylist()
    often = [line for line in lines if line["group"] == "often"]
    assert {line["status"] for line in often} == {"ok"}
    few = conclude(subject(Known()), attribution={"rows": 60}, fairness={"minimum_group": 40})
    rare = [line for line in few.tables["attribution/global"].to_pylist() if line["group"] == "rare <b>"]
    assert rare
    assert {line["status"] for line in rare} == {"insufficient"}
    assert all(line["share"] is None and "fewer than 40" in line["reason"] for line in rare)


def test_the_sample_is_seeded_and_stated(findings):
    rows = findings.tables["attribution/rows"]
    assert len(set(rows.column("row").to_pylist())) == 120
    again = conclude(subject(Known()), attribution={"rows": 120})
    assert to_table(again.metrics).equals(to_table(findings.metrics))
    assert all(table.equals(again.tables[name]) for name, table in findings.tables.items())
    other = conclude(subject(Known()), attribution={"rows": 120}, seed=1)
    assert other.tables["attribution/rows"].column("row").to_pylist() != rows.column("row").to_pylist()


def test_evidence_holds_what_a_reader_needs(findings):
    line = findings.tables["attribution/rows"].to_pylist()[0]
    assert line["target"] == "log-odds of 'yes' (its logit minus that of 'no')"
    assert {line["label"], line["prediction"]} <= {"no", "yes"}
    inputs = {
        i["column"]: i["value"] for i in findings.tables["attribution/inputs"].to_pylist() if i["row"] == line["row"]
    }
    assert set(inputs) == set(FEATURES)
    assert inputs["kind"] in ("one", "two")
    baseline = {b["column"]: b for b in findings.tables["attribution/baseline"].to_pylist()}
    train = subject(Known()).splits[0].table
    assert baseline["strong"]["value"] == pytest.approx(train.column("strong").to_numpy().mean(), abs=1e-6)
    assert "all 300 rows" in baseline["kind"]["description"]
    assert not any(np.isnan(v) for t in findings.tables.values() for c in t.columns if pa.types.is_floating(c.type)
                   for v in c.to_pylist() if v is not None)  # fmt: skip


def test_a_batch_coupled_model_is_detected_and_explained_row_by_row():
    found = conclude(subject(Known(coupled=True)), attribution={"rows": 12, "methods": ["occlusion"]})
    assert any("depends on the rows beside it" in caveat.text for caveat in found.caveats)
    alone = found.tables["attribution/rows"].column("score").to_pylist()
    kinds = subject(Known()).splits[1].table.column("kind")
    rows = found.tables["attribution/rows"].column("row").to_pylist()
    # a row less its own mean is zero, so only its kind is left
    assert alone == pytest.approx([{"one": 2.0, "two": -2.0}[kinds[row].as_py()] for row in rows], abs=1e-5)


def test_rows_that_are_not_finite_are_left_out_and_counted():
    found = conclude(subject(Known(broken=True)), attribution={"rows": 100})
    assert any("not finite" in caveat.text for caveat in found.caveats)
    rows = found.tables["attribution/rows"]
    assert 0 < len(set(rows.column("row").to_pylist())) < 100
    assert np.isfinite(rows.column("score").to_numpy()).all()


def test_a_method_without_a_finite_attribution_is_refused_and_the_others_stand():
    class Steep(Known):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return super().forward(x, c) + (0 * x[:, 2:3]).abs().sqrt()  # sqrt has an infinite slope at 0, times 0

    found = conclude(subject(Steep()), attribution={"rows": 20})
    assert set(found.tables["attribution/rows"].column("method").to_pylist()) == {"occlusion"}
    assert sum("not finite for any row" in caveat.text for caveat in found.caveats) == 2


def test_unconverged_rows_are_a_caveat():
    class Kinked(Known):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return super().forward(x, c) + 30 * torch.relu(x[:, :1] - 0.31)

    found = conclude(subject(Kinked()), attribution={"rows": 100, "maximum_steps": 8, "tolerance": 1e-4})
    assert any("still miss the tolerance" in caveat.text for caveat in found.caveats)
    assert any(line["converged"] is False for line in found.tables["attribution/rows"].to_pylist())


def test_without_a_training_split_the_baseline_is_said_to_be_zeros():
    found = conclude(subject(Known(), train=False), attribution={"rows": 10})
    assert any("zeros in attribution space" in caveat.text for caveat in found.caveats)


def test_a_method_refused_says_why_and_nothing_is_made_up():
    found = conclude(subject(Known()), attribution={"rows": 10, "methods": ["grad_cam"]})
    assert [row.status for row in found.metrics] == ["not applicable"]
    assert "Grad-CAM is for images" in found.caveats[0].text


def test_wrong_names_are_input_errors():
    with pytest.raises(InputError, match="did you mean 'occlusion'"):
        conclude(subject(Known()), attribution={"methods": ["oclusion"]})
    with pytest.raises(InputError, match="did you mean 'test'"):
        conclude(subject(Known()), attribution={"split": "tset"})


def test_one_row_is_enough_to_be_explained_but_not_to_judge_groups():
    found = conclude(subject(Known(), n=1))
    assert found.tables["attribution/explanations"].num_rows == 3 * 5
    groups = [line for line in found.tables["attribution/global"].to_pylist() if line["attribute"]]
    assert {line["status"] for line in groups} == {"insufficient"}
