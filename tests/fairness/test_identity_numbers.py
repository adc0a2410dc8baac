"""Identity swaps of models that predict a number: differences in its unit, planted ones as large as they are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import auditkit as ak
from auditkit.fairness.identity.dimensions import shipped
from auditkit.fairness.identity.swaps import compare, identity_findings
from auditkit.fairness.identity.view import identity_sections
from auditkit.fairness.settings import Settings
from auditkit.fairness.view import sections
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import TextPreprocessing
from auditkit.subject.preprocessing.text import SPECIAL, words

GENDER = next(dimension for dimension in shipped() if dimension.name == "gender")
WOMEN = {word for term in GENDER.groups["women"] for word in words(term)} - {"the", "my", "friend"}


def salary(texts):
    """Of each sentence a sum of money: 4,000 less where it speaks of a woman."""
    return np.array([52_000.0 - 4_000 * bool(WOMEN & set(words(text))) for text in texts])


def gap(found, name):
    return next(row for row in found.metrics if row.metric == "identity_gap" and row.attribute == name)


def test_differences_are_in_the_numbers_own_unit_and_nothing_is_decided():
    found = identity_findings(shipped(), salary, Settings(), threshold=None)
    row = gap(found, "gender")
    assert (row.value, row.unit, row.detail) == (pytest.approx(4_000), "", "women - men")
    line = next(line for line in found.tables["identity_swaps"].to_pylist() if line["dimension"] == "gender")
    assert line["difference"] == pytest.approx(-4_000)
    assert line["flips"] is None
    assert (line["score"], line["other_score"]) == (48_000, 52_000)
    assert {row.unit for row in found.metrics} == {""}


def test_intervals_of_numbers_reach_beyond_one():
    rng = np.random.default_rng(0)
    first, second = rng.normal(50, 3, (12, 9)), rng.normal(40, 3, (12, 9))
    found = compare(first, second, aligned=True)
    low, high = found.interval(0.95, np.inf)
    assert low < 10 < high
    assert (low + high) / 2 == pytest.approx(found.value)
    assert found.interval(0.95) == (low, 1.0)  # what a probability could not be is cut off


def test_rounding_of_large_numbers_is_no_difference():
    rng = np.random.default_rng(1)
    first = np.full((5, 6), 1e9)
    found = compare(first, first + rng.choice([-1e-7, 0, 1e-7], (5, 6)), aligned=True)
    assert (found.value, found.p_value) == (0.0, 1.0)


def test_a_fair_model_of_numbers_is_not_accused():
    false = 0
    for seed in range(40):
        rng, worth = np.random.default_rng(seed), {}

        def score(texts, rng=rng, worth=worth):
            return [sum(worth.setdefault(word, rng.normal(0, 900)) for word in words(text)) for text in texts]

        table = identity_findings(shipped(), score, Settings(), threshold=None).tables["identity_swaps"]
        false += min(table.column("p_adjusted").to_pylist()) < 0.05
    assert false <= 5  # 5 % of 40 is 2


class Bag(nn.Module):
    """A number that is a sum over words."""

    def __init__(self, worth: torch.Tensor) -> None:
        super().__init__()
        self.embed = nn.Embedding.from_pretrained(worth[:, None])
        self.dense = nn.Linear(1, 1)
        with torch.no_grad():
            self.dense.weight.fill_(1.0)
            self.dense.bias.fill_(50.0)

    def forward(self, ids, mask):
        return self.dense((self.embed(ids) * mask[:, :, None]).sum(dim=1))


@pytest.mark.parametrize("planted", [-6.0, 0.0])
def test_a_text_regressor_is_asked_in_its_audit(planted, tmp_path):
    known = sorted({word for text in GENDER.sentences() for word in words(text)})
    worth = torch.zeros(len(known) + SPECIAL)
    for place, word in enumerate(known, start=SPECIAL):
        worth[place] = planted if word in WOMEN else 0.0
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(known, 6)) for _ in range(60)]
    text = TextPreprocessing(column="text", vocabulary=tuple(known), length=24)
    model = Model(Bag(worth), ("stars",), text, device=torch.device("cpu"), task="regression")
    data = {"text": texts, "stars": rng.normal(50, 5, 60)}
    audit = ak.audit(model, pd.DataFrame(data), label="stars", analyses=["fairness"], out=tmp_path)
    row = gap(SimpleNamespace(metrics=audit.rows), "gender")
    assert row.value == pytest.approx(-planted, abs=1e-5)
    assert (row.lower > 1) if planted else (row.lower == 0)
    shown = {section.key: section for section in sections(audit)}["identity-swaps"]
    if planted:
        assert "Sentences about men are predicted 6.00 higher than the same about women, beyond chance" in shown.finding
        assert "decisions that differ" not in shown.table.column_names
        assert shown.figure.layout.xaxis.title.text.startswith("in the label's unit")
    else:
        assert "No two groups' sentences are predicted differently beyond chance" in shown.finding


def test_sections_of_scores_still_speak_of_points():
    found = identity_findings(shipped(), lambda texts: salary(texts) / 1e5, Settings())
    evidence = SimpleNamespace(rows=found.metrics, table=lambda name: found.tables[name.removeprefix("fairness/")])
    (section,) = identity_sections(evidence)
    assert "score 4.00 pts higher" in section.finding
    assert "decisions that differ" in section.table.column_names
