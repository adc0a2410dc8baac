"""Counterfactual flips: planted direct use of an attribute is found, and nothing where a model ignores it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from auditkit.errors import InputError
from auditkit.fairness.individual.flips import Predict, flip_findings, paired_interval, swap
from auditkit.fairness.individual.view import individual_sections
from auditkit.fairness.settings import Settings


def people(n: int = 2000) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {"sex": rng.choice(["f", "m"], n), "race": rng.choice(["a", "b", "c"], n), "pay": rng.normal(size=n)}
    )


def using(weight: float) -> Predict:
    def predict(table: pa.Table) -> np.ndarray:
        pay = np.array(table["pay"].to_pylist())
        male = np.array([value == "m" for value in table["sex"].to_pylist()])
        return 1 / (1 + np.exp(-(pay + weight * male)))

    return predict


def test_planted_use_is_found_as_large_as_it_is() -> None:
    table = people()
    found = flip_findings(table, ["sex", "race"], using(0.5), Settings(), split="test")
    rows = {(row.metric, row.attribute, row.group): row for row in found.metrics}
    pay = np.array(table["pay"].to_pylist())
    expected = ((pay < 0) & (pay >= -0.5)).mean()  # those whom being a man decides
    row = rows["counterfactual_flip_rate", "sex", ""]
    assert row.value == pytest.approx(expected, abs=1e-12)
    assert row.lower is not None
    assert row.lower > 0.1
    assert row.split == "test"
    assert rows["counterfactual_flip_rate", "race", ""].value == 0.0


def test_direction_and_its_test() -> None:
    lines = flip_findings(people(), ["sex"], using(0.5), Settings()).tables["flips"].to_pylist()
    gain = next(line for line in lines if line["value"] == "f")
    loss = next(line for line in lines if line["value"] == "m")
    assert gain["to_negative"] == 0 < gain["to_positive"]
    assert gain["lower"] > 0
    assert loss["to_positive"] == 0 < loss["to_negative"]
    assert loss["upper"] < 0
    assert gain["score_change"] > 0 > loss["score_change"]
    assert gain["p_value"] == pytest.approx(binomtest(0, gain["to_positive"]).pvalue, rel=1e-9)
    assert gain["p_adjusted"] >= gain["p_value"]


def test_a_proxy_is_not_seen() -> None:
    table = people()
    proxy = [2.0 if sex == "m" else -2.0 for sex in table["sex"].to_pylist()]
    table = table.append_column("height", pa.array(proxy))
    found = flip_findings(
        table, ["sex"], lambda part: 1 / (1 + np.exp(-np.array(part["height"].to_pylist()))), Settings()
    )
    assert [row.value for row in found.metrics if row.metric == "counterfactual_flip_rate"] == [0.0] * 3
    assert all(line["p_value"] == 1.0 and line["net_change"] == 0 for line in found.tables["flips"].to_pylist())


def test_order_of_rows_changes_nothing() -> None:
    table = people(300)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(300)))
    first, second = (flip_findings(part, ["race", "sex"], using(0.3), Settings()) for part in (table, shuffled))
    assert first.tables["flips"].num_rows == 6 + 2
    for mine, other in zip(first.metrics, second.metrics, strict=True):
        assert mine.group == other.group
        assert mine.value == pytest.approx(other.value, abs=1e-12)


def test_numbers_and_missing_values_are_swapped() -> None:
    table = pa.table({"band": pa.array([1, 2, None] * 20), "pay": [0.0] * 60})
    found = swap(table, "band", lambda part: [0.9 if band == 1 else 0.1 for band in part["band"].to_pylist()])
    up, down = found.flips(0.5)
    assert found.names == ("(missing)", "1", "2")
    assert up.sum() == 40
    assert down.sum() == 20


def test_an_identifier_is_not_swapped_and_small_groups_are_named() -> None:
    table = pa.table({"id": [str(at) for at in range(60)], "sex": ["f"] * 55 + ["m"] * 5})
    found = flip_findings(table, ["id", "sex"], lambda part: np.full(len(part), 0.7), Settings()).metrics
    refused = [row for row in found if row.attribute == "id"]
    assert refused
    assert all(row.status == "not applicable" and "60 different values" in row.reason for row in refused)
    assert next(row for row in found if row.attribute == "sex" and not row.group).unjudged == ("m",)
    assert {row.status for row in found if row.group == "m"} == {"insufficient"}


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="one finite number"):
        flip_findings(people(50), ["sex"], lambda part: np.full(len(part), np.nan), Settings())


def test_the_paired_interval_covers() -> None:
    rng, hits = np.random.default_rng(2), 0
    for _ in range(1000):
        gained, lost, _ = rng.multinomial(150, [0.06, 0.02, 0.92])
        low, high = paired_interval(int(gained), int(lost), 150, 0.95)
        hits += low <= 0.04 <= high
    assert hits >= 930


def test_the_section_says_what_flips_and_what_it_cannot_see() -> None:
    found = flip_findings(people(), ["sex"], using(0.5), Settings(), refused={"race": "the model does not read it"})
    evidence = SimpleNamespace(rows=found.metrics, table=lambda name: found.tables[name.removeprefix("fairness/")])
    asked, refused = individual_sections(evidence)
    assert "more positive decisions, beyond chance" in asked.finding or "fewer positive" in asked.finding
    assert "proxies" in asked.how
    assert asked.table.num_rows == 2
    assert "does not read" in refused.finding
    assert refused.figure is None


def test_an_audits_model_is_asked_and_the_ledger_counts() -> None:
    torch = pytest.importorskip("torch")
    from auditkit.engine.ledger import Ledger
    from auditkit.fairness.individual.probe import counterfactual_findings
    from auditkit.subject.data import Schema, Split
    from auditkit.subject.model import Model
    from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing

    class Direct(torch.nn.Module):
        def forward(self, numbers: "torch.Tensor", categories: "torch.Tensor") -> "torch.Tensor":
            return numbers[:, :1] + 0.5 * (categories[:, :1] == 2)

    table = people(500).append_column("label", pa.array(["0", "1"] * 250))
    schema = Schema(("pay", "sex"), ("0", "1"), "label", "1", ("sex", "race"))
    split = Split("test", "test", table, schema)
    columns = TablePreprocessing(
        numeric=(Numeric(name="pay"),), categorical=(Categorical(name="sex", vocabulary=("f", "m")),)
    )
    model = Model(Direct(), ("0", "1"), columns, device=torch.device("cpu"))
    context = SimpleNamespace(
        subject=SimpleNamespace(model=model), spec=SimpleNamespace(batch_size=64), ledger=Ledger()
    )
    found = counterfactual_findings(context, split, Settings())
    expected = flip_findings(table, ["sex"], using(0.5), Settings(), split="test")
    rows = {(row.metric, row.attribute, row.group): row for row in found.metrics}
    for row in expected.metrics:
        assert rows[row.metric, row.attribute, row.group].value == pytest.approx(row.value, abs=1e-6)
    assert rows["counterfactual_flip_rate", "race", ""].status == "not applicable"
    (entry,) = context.ledger.entries()
    assert entry["forwards"] == 500 + 500  # as they are, and everybody once with the other of two values
