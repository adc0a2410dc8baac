"""Variants of models that predict numbers: paired differences against closed forms, planted harm, and students."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score
from torch import nn

from auditkit.errors import InputError
from auditkit.performance.regression.observer import Numbers
from auditkit.report import write_reports
from auditkit.spec import AuditSpec
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject
from auditkit.training.architectures.mlp import MLP
from auditkit.variants.answers import Answers
from auditkit.variants.command import show
from auditkit.variants.compare import compare_variants
from auditkit.variants.derive import derive
from auditkit.variants.differences import differences
from auditkit.variants.measures import Rows
from auditkit.variants.number_measures import rows_with_numbers
from auditkit.variants.record import keep

NAMES = ("area", "rooms")
SCHEMA = Schema(NAMES, ("rent",), "rent", None, ("town",), "regression")
PATH = "auditkit.training.architectures.mlp:MLP"


def splits(n: int = 500) -> dict[str, Split]:
    """Rents that rise with the area; in Smallville, one in six rows, with the rooms too."""
    rng, made = np.random.default_rng(3), {}
    for role in ("train", "validation", "test", "ood"):
        area, rooms = rng.normal(size=n) * (4 if role == "ood" else 1), rng.normal(size=n)
        small = np.arange(n) % 6 == 0
        rent = 900 + 120 * area + 200 * small * rooms + rng.normal(0, 20, n)
        town = np.where(small, "Smallville", "Bigtown")
        table = pa.table({"area": area, "rooms": np.where(small, rooms, 0.0), "rent": rent, "town": town})
        made[role] = Split("far" if role == "ood" else role, role, table, SCHEMA)  # type: ignore[arg-type]
    return made


def subject(n: int = 500) -> Subject:
    network = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[120.0, 200.0]]))
        network[0].bias.fill_(900.0)
    columns = TablePreprocessing(numeric=tuple(Numeric(name=name) for name in NAMES))
    model = Model(
        network.eval(), ("rent",), columns, device=torch.device("cpu"), schema=SCHEMA, task="regression",
    )  # fmt: skip
    return Subject("rents", model, tuple(splits(n).values()), SCHEMA)


def without_rooms(model: Model) -> Model:
    """What is lost is what Smallville needs."""
    harmed = derive(model, "pruned", share=0.0)
    with torch.no_grad():
        harmed.module[0].weight[0, 1] = 0.0
    return harmed


def answers(truth: np.ndarray, *predicted: np.ndarray) -> list[Answers]:
    model = subject(60).model
    names = ["original", *(f"variant {at}" for at in range(1, len(predicted)))]
    given = [Numbers(np.arange(len(truth)), truth, part) for part in predicted]
    return [Answers(name, model, part, None) for name, part in zip(names, given, strict=True)]


def test_a_copy_differs_in_nothing() -> None:
    rents = subject(240)
    found = compare_variants(rents, [derive(rents.model, "pruned", share=0.0)], speed=False, replicates=300)
    assert {one.metric for one in found.compared} >= {
        "mae", "r2", "bias", "worst_group_mae", "mean_prediction_difference", "mean_error_difference", "ood_auroc"
    }  # fmt: skip
    for one in found.compared:
        assert one.difference.value == 0, one.metric
        assert one.difference.lower <= 0 <= one.difference.upper
        assert not one.judged(0.95)
    assert "no prediction changed" in found.sentences["pruned 0"]


def test_figures_are_those_of_scikit_learn_and_intervals_those_of_a_paired_test() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(100, 20, 800)
    one, two = truth + rng.normal(0, 5, 800), truth + rng.normal(1, 6, 800)
    few = np.arange(800) % 4 == 0
    rows = Rows(truth, 1, {("town", "few"): few, ("town", "many"): ~few}, None, 30, 15)
    pair = answers(truth, one, two)
    found = {(c.metric, c.group): c for c in differences(rows, pair[0], pair[1:], AuditSpec())}
    error, new = np.abs(one - truth), np.abs(two - truth)
    mae = found["mae", ""]
    assert (mae.original, mae.value) == pytest.approx(
        (mean_absolute_error(truth, one), mean_absolute_error(truth, two))
    )
    assert mae.difference.p_value == pytest.approx(stats.ttest_rel(new, error).pvalue, abs=2e-3)
    assert found["mae", "few"].difference.value == pytest.approx((new - error)[few].mean())
    r2 = found["r2", ""]
    assert (r2.original, r2.value) == pytest.approx((r2_score(truth, one), r2_score(truth, two)))
    assert r2.difference.lower < r2.value - r2.original < r2.difference.upper < 0
    gap = found["mean_prediction_difference", ""]
    assert gap.value == pytest.approx(abs(two[few].mean() - two[~few].mean()))
    assert found["mean_error_difference", ""].original == pytest.approx(
        abs((one - truth)[few].mean() - (one - truth)[~few].mean())
    )
    assert found["worst_group_mae", ""].value == pytest.approx(max(new[few].mean(), new[~few].mean()))
    assert found["move", ""].value == pytest.approx(np.abs(two - one).mean())


def test_intervals_of_the_paired_differences_cover() -> None:
    """In nearly all of 150 draws of 400 rows, intervals of 95 % hold the true differences, which are known here."""
    rng, hits = np.random.default_rng(1), {"r2": 0, "mean_prediction_difference": 0, "mae": 0}
    expected = {"r2": -3.0 / 400, "mean_prediction_difference": 1.5, "mae": np.sqrt(2 / np.pi) * (np.sqrt(7) - 2)}
    few = np.arange(400) < 120
    rows = Rows(np.zeros(400), 1, {("town", "few"): few, ("town", "many"): ~few}, None, 30, 15)
    for _ in range(150):
        truth = rng.normal(0, 20, 400)
        one = truth + rng.normal(0, 2, 400)
        two = one + rng.normal(0, np.sqrt(3), 400)
        apart = (one - 10.0 * few, two - 11.5 * few)
        for metric, sides in (("r2", (one, two)), ("mae", (one, two)), ("mean_prediction_difference", apart)):
            pair = answers(truth, *sides)
            found = {c.metric: c for c in differences(rows, pair[0], pair[1:], AuditSpec(), 300) if not c.group}
            change = found[metric].difference
            hits[metric] += change.lower <= expected[metric] <= change.upper
    assert {name: count >= 134 for name, count in hits.items()} == dict.fromkeys(hits, True), hits


def test_what_only_one_town_needs_is_missed_there() -> None:
    rents = subject()
    found = compare_variants(rents, [without_rooms(rents.model)], speed=False, replicates=400)
    by = {(one.metric, one.group): one for one in found.compared if not one.split}
    assert by["mae", "Smallville"].judged(0.95) == "worse"
    assert by["mae", "Smallville"].difference.value > 80
    assert by["mae", "Bigtown"].difference.value == pytest.approx(0, abs=1e-4)
    assert by["worst_group_mae", ""].judged(0.95) == "worse"
    (sentence,) = found.sentences.values()
    assert "mean absolute error for Smallville (town)" in sentence
    assert "predictions move by" in sentence
    models = found.findings.tables["models"].to_pylist()
    assert models[1]["worst_group"] == "Smallville (town)"
    assert found.findings.tables["churn"].num_rows == 0
    move = next(row for row in found.findings.metrics if row.metric == "move")
    assert move.value == pytest.approx(by["move", ""].value)


def test_rows_without_a_number_are_left_out_of_all_and_told() -> None:
    rents = subject(300)
    broken = derive(rents.model, "pruned", share=0.0)

    class Sometimes(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.where(rows[:, :1] > 1.5, torch.nan, self.inner(rows))

    broken = replace(broken, module=Sometimes(broken.module), penultimate=None)
    found = compare_variants(rents, [broken], speed=False, replicates=200)
    area = splits(300)["test"].table["area"].to_numpy()
    lost = int((area.astype(np.float32) > 1.5).sum())
    (mae,) = [one for one in found.compared if one.metric == "mae" and not one.group]
    assert mae.n == 300 - lost
    assert any(f"no finite number are left out of every figure, of all models: {lost} rows" in caveat.text
               for caveat in found.findings.caveats)  # fmt: skip
    with pytest.raises(InputError, match="only 2 of 40 test rows have a finite prediction"):
        rows_with_numbers([Numbers(np.arange(40), np.ones(40), np.where(np.arange(40) < 2, 1.0, np.nan))], 30)


def test_reports_speak_of_errors_and_not_of_accuracy(tmp_path, capsys) -> None:
    rents = subject(300)
    spec = AuditSpec(name="rents", gates={"variants/mae_change": {"at_most": 1.0, "of": ["bf16"]}})
    variants = [derive(rents.model, "bf16"), without_rooms(rents.model)]
    kept = keep(compare_variants(rents, variants, spec=spec, speed=False, replicates=200), rents, spec, tmp_path)
    assert [gate.verdict for gate in kept.gates] == ["pass"]
    sections = {section.key: section for section in kept.sections()["variants"]}
    assert list(sections) == ["verdicts", "side-by-side", "won", "who"]
    assert sections["side-by-side"].finding.startswith("Mean absolute error is ")
    assert sections["who"].finding.startswith("Smallville (town) loses most: +")
    assert sections["who"].table.column_names == [
        "variant", "attribute", "group", "rows", "mean absolute error", "mean prediction"
    ]  # fmt: skip
    assert {"mean absolute error", "R²", "gap of mean predictions", "worst group's absolute error"} <= {
        *sections["side-by-side"].table.column("figure").to_pylist()
    }
    assert not any("%" in str(axis.tickformat) for axis in sections["who"].figure.select_xaxes())
    text = write_reports(kept, kept.folder, ("markdown", "html"))[0].read_text()
    show(kept)
    for said in (text, capsys.readouterr().out):
        assert "R²" in said
        assert "accuracy" not in said.lower()
        assert "decision" not in said.lower().replace("decisions.md", "")


@pytest.mark.parametrize("how", ["int8", "bf16", "pruned"])
def test_a_variant_of_a_trained_network_gives_its_numbers_nearly_and_from_its_bundle_exactly(how, tmp_path) -> None:
    torch.manual_seed(0)
    model = subject(60).model
    arguments = {"numeric": 2, "categories": [], "classes": 1, "hidden": [16]}
    model = Model(MLP(**arguments).eval(), ("rent",), model.preprocessing, device=torch.device("cpu"), schema=SCHEMA,
                  task="regression", architecture={"path": PATH, "arguments": arguments})  # fmt: skip
    variant = derive(model, how, share=0.1)
    assert variant.task == "regression"
    rows = splits(60)["test"]
    with torch.no_grad():
        before, after = model.logits(model.encode(rows)), variant.logits(variant.encode(rows))
    assert 0 < (after - before).abs().max() < 0.2 * before.std() + 0.05
    again = load_bundle(save_bundle(variant, tmp_path / how), device="cpu")
    assert (again.task, again.schema) == ("regression", SCHEMA)
    with torch.no_grad():
        assert torch.equal(again.logits(again.encode(rows)), after)


def test_a_student_learns_the_teachers_numbers_in_the_labels_unit() -> None:
    """With all weight on the teacher the training labels, which are dealt out anew here, are not what is learned."""
    teacher, data = subject().model, splits()
    teacher.architecture = {"path": PATH, "arguments": {"numeric": 2, "categories": [], "classes": 1, "hidden": [16]}}
    mixed = data["train"].table.set_column(2, "rent", pa.array(data["train"].table["rent"].to_numpy()[::-1] - 300.0))
    rows = {"train": Split("train", "train", mixed, SCHEMA), "validation": data["validation"]}
    settings = {"epochs": 60, "batch_size": 64, "learning_rate": 0.01, "patience": 60, "threads": 1}
    inputs, alike = teacher.encode(data["test"]), {}
    for mixing in (1.0, 0.0):
        student = derive(teacher, "distilled", splits=rows, mixing=mixing, arguments={"hidden": [8]}, recipe=settings)
        assert (student.task, student.record["derived"]["how"]) == ("regression", "distilled")
        with torch.no_grad():
            alike[mixing] = r2_score(teacher.logits(inputs)[:, 0].numpy(), student.logits(inputs)[:, 0].numpy())
    assert alike[1.0] > 0.9
    assert alike[0.0] < 0.3
