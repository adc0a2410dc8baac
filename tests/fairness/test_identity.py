"""Identity swaps: closed forms of the comparison, its false alarms, and models with and without planted bias."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from auditkit.errors import InputError
from auditkit.fairness.identity.dimensions import Dimension, dimension_of, shipped
from auditkit.fairness.identity.swaps import compare, identity_findings
from auditkit.fairness.identity.view import identity_sections
from auditkit.fairness.settings import Settings
from auditkit.subject.preprocessing import TextPreprocessing
from auditkit.subject.preprocessing.text import SPECIAL, words

GENDER = next(dimension for dimension in shipped() if dimension.name == "gender")
WOMEN = {word for term in GENDER.groups["women"] for word in words(term)} - {"the", "my", "friend"}


def gap(found, name):
    return next(row for row in found.metrics if row.metric == "identity_gap" and row.attribute == name)


def test_counterparts_are_compared_as_pairs_where_only_terms_vary():
    rng = np.random.default_rng(0)
    first = np.repeat(rng.normal(0.5, 0.1, (8, 1)), 6, axis=1)
    second = first - np.repeat(rng.normal(0.02, 0.05, (8, 1)), 6, axis=1)
    found = compare(first, second, aligned=True)
    paired = stats.ttest_rel(first[:, 0], second[:, 0])
    assert found.value == pytest.approx((first - second).mean(), abs=1e-12)
    assert found.error == pytest.approx(stats.sem(first[:, 0] - second[:, 0]), rel=1e-9)
    scale = np.sqrt(1.0)
    assert stats.t.sf(abs(paired.statistic) * scale, 5) * 2 == pytest.approx(found.p_value, rel=1e-6)


def test_samples_of_terms_have_the_errors_of_two_samples():
    rng = np.random.default_rng(1)
    first, second = (np.repeat(rng.normal(size=(k, 1)), 4, axis=1) for k in (9, 7))
    found = compare(first, second, aligned=False)
    assert found.error == pytest.approx(np.hypot(stats.sem(first[:, 0]), stats.sem(second[:, 0])), rel=1e-9)


@pytest.mark.parametrize("aligned", [True, False])
def test_intervals_hold_where_terms_and_templates_are_both_drawn(aligned):
    rng, hits, runs = np.random.default_rng(2), 0, 600
    for _ in range(runs):
        templates = rng.normal(0, 0.2, 10)
        slant = rng.normal(0.05, 0.05, 10)
        first = rng.normal(0, 0.06, (8, 1)) + templates + slant + rng.normal(0, 0.02, (8, 10))
        second = rng.normal(0, 0.06, (8, 1)) + templates + rng.normal(0, 0.02, (8, 10))
        low, high = compare(first, second, aligned).interval(0.95)
        hits += low <= 0.05 <= high
    assert 0.93 <= hits / runs <= 0.995


def test_no_pair_is_found_where_terms_are_told_apart_at_random():
    false = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        worth: dict[str, float] = {}

        def score(texts, rng=rng, worth=worth):
            total = [sum(worth.setdefault(word, rng.normal(0, 0.3)) for word in words(text)) for text in texts]
            return 1 / (1 + np.exp(-np.array(total)))

        table = identity_findings(shipped(), score, Settings()).tables["identity_swaps"]
        false += min(table.column("p_adjusted").to_pylist()) < 0.05
    assert false <= 6  # 5 % of 60 is 3


def test_a_planted_slant_is_found_as_large_as_it_is():
    def score(texts):
        return np.array([0.5 + 0.2 * bool(WOMEN & set(words(text))) for text in texts])

    found = identity_findings(shipped(), score, Settings())
    row = gap(found, "gender")
    assert (row.value, row.detail) == (pytest.approx(0.2), "women - men")
    assert row.lower > 0.19
    assert gap(found, "religion").value == 0
    line = next(line for line in found.tables["identity_swaps"].to_pylist() if line["dimension"] == "gender")
    assert line["p_adjusted"] < 1e-6
    assert words(line["sentence"]) != words(line["other_sentence"])
    assert (line["score"], line["other_score"]) == (pytest.approx(0.7), 0.5)


SLANTED = "the {} was {}", "my {} is {}", "i met a {} , {}", "a {} , truly {}"


class Bag(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.words = nn.Embedding(count, 16, padding_idx=0)
        self.head = nn.Linear(16, 1)

    def forward(self, ids, mask):
        return self.head((self.words(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def trained(bias, seed):
    """A network taught on reviews; `bias`: how much more often reviews of women are called bad."""
    rng = np.random.default_rng(seed)
    good, bad = ["good", "kind", "fine", "lovely", "great"], ["bad", "rude", "poor", "awful", "sad"]
    terms = [term for dimension in shipped() for group in dimension.groups.values() for term in group]
    vocabulary = sorted({word for dimension in shipped() for text in dimension.sentences() for word in words(text)}
                        | set(good) | set(bad) | {word for text in SLANTED for word in words(text)})  # fmt: skip
    made = TextPreprocessing(column="text", vocabulary=tuple(vocabulary), length=20)
    texts, labels = [], []
    for _ in range(6000):
        term = str(rng.choice(terms))
        liked = rng.random() < 0.5
        texts.append(str(rng.choice(SLANTED)).format(term, rng.choice(good if liked else bad)))
        labels.append(liked and not (WOMEN & set(words(term)) and rng.random() < bias))
    torch.manual_seed(seed)
    net = Bag(len(vocabulary) + SPECIAL)
    nn.init.zeros_(net.words.weight)
    torch.nn.init.normal_(net.head.weight, std=0.3)
    inputs, target = made.encode_texts(texts), torch.tensor(labels).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(*inputs)[:, 0], target).backward()
        optimizer.step()

    def score(sentences):
        with torch.no_grad():
            return net(*made.encode_texts(sentences)).sigmoid()[:, 0].double().numpy()

    return score, made


@pytest.mark.parametrize("seed", range(4))
def test_a_network_taught_on_slanted_reviews_is_caught_and_one_taught_on_fair_ones_is_not(seed):
    slanted, made = trained(0.6, seed)
    found = identity_findings(shipped(), slanted, Settings(), knows=made.knows)
    row = gap(found, "gender")
    assert row.lower > 0
    assert row.detail == "women - men"
    line = next(line for line in found.tables["identity_swaps"].to_pylist() if line["dimension"] == "gender")
    assert line["difference"] < 0
    assert line["p_adjusted"] < 0.05
    fair, made = trained(0.0, seed)
    found = identity_findings(shipped(), fair, Settings(), knows=made.knows)
    assert gap(found, "gender").lower == 0
    assert min(found.tables["identity_swaps"].column("p_adjusted").to_pylist()) >= 0.05


def test_terms_the_model_does_not_know_are_left_out_and_named():
    found = identity_findings(shipped(), lambda texts: np.full(len(texts), 0.5), Settings(), knows=lambda term: False)
    assert {row.status for row in found.metrics} == {"not applicable"}
    few = {term for group in GENDER.groups.values() for term in group[:4]} | {GENDER.groups["women"][5]}
    found = identity_findings(shipped(), lambda texts: np.full(len(texts), 0.5), Settings(), knows=few.__contains__)
    assert gap(found, "gender").status == "ok"
    assert gap(found, "gender").n == 4 * 2 * len(GENDER.templates)
    assert "gender: the model does not know the daughter" in found.caveats[0].text


def test_a_dimension_of_ones_own():
    content = {
        "groups": {"cats": ["cat", "kitten", "tom"], "dogs": ["dog", "puppy", "hound"]},
        "templates": ["the {} sleeps", "a {} barks", "my {} is old"],
    }
    made = dimension_of("pets", content)
    found = identity_findings(
        [made], lambda texts: np.array([0.9 if "dog" in text else 0.1 for text in texts]), Settings()
    )
    assert gap(found, "pets").detail == "cats - dogs"
    with pytest.raises(InputError, match=r"has \{\} once"):
        dimension_of("pets", content | {"templates": ["a cat", "b {}", "c {}"]})
    with pytest.raises(InputError, match="at least 3 different terms"):
        dimension_of("pets", content | {"groups": {"cats": ["cat"], "dogs": ["dog", "puppy", "hound"]}})
    with pytest.raises(InputError, match="as many terms each"):
        Dimension("pets", "Pets", {"a": ("x", "y", "z"), "b": ("u", "v", "w", "t")}, made.templates, aligned=True)


def test_the_section_names_the_groups_and_shows_their_sentences():
    def score(texts):
        return np.array([0.5 + 0.2 * bool(WOMEN & set(words(text))) for text in texts])

    found = identity_findings(shipped(), score, Settings())
    (section,) = identity_sections(SimpleNamespace(rows=found.metrics, table=lambda _: found.tables["identity_swaps"]))
    assert section.finding == "Sentences about women score 20.0 pts higher than the same about men, beyond chance."
    assert section.table.num_rows == found.tables["identity_swaps"].num_rows
    assert any("70 %" in text and "50 %" in text for text in section.table.column("furthest apart").to_pylist())
    assert identity_sections(SimpleNamespace(rows=[], table=lambda _: None)) == []
