"""Strategies and shortcut candidates: planted ones are found and named, clean models have none."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.attribution.analysis import drawn_rows
from auditkit.attribution.explicands import explicands_of
from auditkit.attribution.integrated_gradients import integrated_gradients
from auditkit.attribution.places import place_of, zones
from auditkit.attribution.shortcuts import LEAST, shortcuts, together
from auditkit.attribution.strategies import FEWEST, directions, strategies, word_values
from auditkit.attribution.whole_set import whole_set
from auditkit.engine.ledger import Ledger
from auditkit.engine.rows import RowEngine
from auditkit.evidence.metrics import Findings, select, to_table
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import ImagePreprocessing
from auditkit.subject.subject import Subject

CELLS = [f"{row},{column}" for row in range(8) for column in range(8)]


def digits(marked: int | None, share: float = 1.0, seed: int = 0) -> Subject:
    """A small network on digits; `share` of the digits `marked` have a bright mark in the top left corner."""
    from sklearn.datasets import load_digits

    data, rng = load_digits(), np.random.default_rng(seed)
    images, labels = data.images[:, None].astype(np.float32).copy(), data.target
    has = (labels == marked) & (rng.random(len(labels)) < share)
    images[has, :, :2, :2] = 16
    order = rng.permutation(len(labels))
    rows = {"train": order[:1200], "test": order[1200:]}
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    x, y = torch.from_numpy((images[rows["train"]] - 5) / 6), torch.from_numpy(labels[rows["train"]])
    for _ in range(14):
        for batch in torch.from_numpy(rng.permutation(len(y))).split(96):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimiser.step()
    schema = Schema(("images",), tuple(map(str, range(10))), "digit")
    preprocessing = ImagePreprocessing(mean=5.0, scale=6.0, shape=(1, 8, 8))
    model = Model(network.eval(), schema.classes, preprocessing, device=torch.device("cpu"))
    splits = tuple(
        Split(name, name, pa.table({"digit": labels[own]}), schema, {"images": images[own]})
        for name, own in rows.items()
    )
    return Subject("digits", model, splits, schema)


def explained(subject: Subject) -> tuple:
    """256 rows of the test split by Integrated Gradients, as `whole_set` takes them."""
    train, test = subject.splits
    with subject.model.evaluating():
        engine = RowEngine(subject.model, test, Ledger(), "attribution")
        rows = explicands_of(engine, test, drawn_rows(len(test), 256, 0), train, 0)
        return rows, {"integrated_gradients": integrated_gradients(engine, rows)}, test


@pytest.fixture(scope="module")
def planted() -> Findings:
    return whole_set(*explained(digits(3)), 0.95, 0)


@pytest.fixture(scope="module")
def clean_rows() -> tuple:
    return explained(digits(None))


@pytest.fixture(scope="module")
def clean(clean_rows) -> Findings:
    return whole_set(*clean_rows, 0.95, 0)


def test_a_mark_planted_on_a_class_is_found_with_its_class_and_its_corner(planted):
    (found,) = [line for line in planted.tables["attribution/shortcuts"].to_pylist() if line["candidate"]]
    assert (found["class"], found["place"], found["against"]) == ("3", "the top left corner", "other classes")
    assert set(found["region"]) <= {"0,0", "0,1", "1,0", "1,1"}
    assert found["share"] > LEAST
    assert found["lift"] > 15
    assert found["adjusted"] < 1e-4
    assert select(planted.metrics, metric="shortcut_candidates")[0].value == 1
    assert any("'3'" in caveat.text and "the top left corner" in caveat.text for caveat in planted.caveats)


def test_a_mark_on_half_of_a_class_is_found_as_a_strategy_of_its_own():
    found = whole_set(*explained(digits(3, share=0.5)), 0.95, 0).tables["attribution/shortcuts"].to_pylist()
    (line,) = [line for line in found if line["candidate"]]
    assert (line["class"], line["place"], line["against"]) == ("3", "the top left corner", "the rest of its class")
    assert line["strategy"] > 0


def test_a_clean_model_has_no_candidate(clean):
    assert not any(clean.tables["attribution/shortcuts"].column("candidate").to_pylist())
    assert select(clean.metrics, metric="shortcut_candidates")[0].value == 0
    assert not any("shortcut" in caveat.text for caveat in clean.caveats)


def test_every_explained_row_has_one_strategy_of_the_class_it_is_predicted_as(clean_rows, clean):
    rows = clean_rows[0]
    facts = dict(zip(rows.rows.tolist(), map(str, rows.predictions.tolist()), strict=True))
    placed = clean.tables["attribution/strategy_rows"].to_pylist()
    assert sorted(line["row"] for line in placed) == sorted(facts)
    assert all(facts[line["row"]] == line["class"] for line in placed)
    for line in clean.tables["attribution/strategies"].to_pylist():
        own = [one["row"] for one in placed if (one["class"], one["strategy"]) == (line["class"], line["strategy"])]
        assert {line["medoid"], line["farthest"]} <= set(own)
        assert len(own) == line["rows"]
        assert sum(line["shares"]) == pytest.approx(1)


def test_mean_maps_by_class_show_the_mark(planted):
    lines = [line for line in planted.tables["attribution/by_class"].to_pylist() if line["kind"] == "zone"]
    corners = {line["name"]: line for line in lines if line["by"] == "class" and line["column"] == "corners"}
    others = [line["upper"] for name, line in corners.items() if name != "3" and line["status"] == "ok"]
    assert corners["3"]["lower"] > max(others)
    zone = [line["share"] for line in lines if line["by"] == ""]
    assert sum(zone) == pytest.approx(1)


def test_the_same_seed_gives_the_same_evidence(clean_rows, clean):
    again = whole_set(*clean_rows, 0.95, 0)
    assert to_table(again.metrics).equals(to_table(clean.metrics))
    assert all(table.equals(again.tables[name]) for name, table in clean.tables.items())


def two_ways(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """60 rows of class a, half of which rest on column 9; 60 of class b; each class has a pattern of its own."""
    values = rng.normal(scale=0.5, size=(120, 12)) + np.repeat(rng.normal(scale=2, size=(2, 12)), 60, axis=0)
    values[:, 9] = 0.01 * rng.normal(size=120)
    values[:30, 9] = 30.0
    return values, np.repeat(["a", "b"], 60)


def test_the_number_of_clusters_is_that_of_the_planted_strategies():
    values, classes = two_ways(np.random.default_rng(0))
    found = strategies(values, classes, seed=0)
    a = [strategy for strategy in found if strategy.name == "a"]
    assert sorted(sorted(strategy.rows.tolist()) for strategy in a) == [list(range(30)), list(range(30, 60))]
    assert len([strategy for strategy in found if strategy.name == "b"]) == 1
    (suspect,) = [one for one in shortcuts(values, classes, [*found, *together(found)], seed=0) if one.candidate]
    assert suspect.region == (9,)
    assert suspect.against == "the rest of its class"


def test_scaling_a_row_changes_nothing():
    values, classes = two_ways(np.random.default_rng(1))
    scaled = values * np.random.default_rng(2).uniform(0.1, 1e6, size=(120, 1))
    first, second = (strategies(part, classes, seed=0) for part in (values, scaled))
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, second, strict=True))
    assert np.linalg.norm(directions(scaled), axis=1) == pytest.approx(np.ones(120))


def test_noise_has_no_candidates():
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values, classes = rng.normal(size=(120, 30)), rng.choice(["a", "b", "c"], 120)
        own = strategies(values, classes, seed)
        found += sum(one.candidate for one in shortcuts(values, classes, [*own, *together(own)], seed))
    assert found == 0


def test_what_cannot_be_compared_says_so():
    values = np.random.default_rng(0).normal(size=(30, 5))
    one_class = np.repeat("a", 30)
    (only,) = shortcuts(values, one_class, strategies(values, one_class, 0)[:1], 0)
    assert not only.candidate
    assert only.reason == "there is no other class to compare with"
    few = np.array(["a"] * 27 + ["b"] * 3)
    assert {one.reason for one in shortcuts(values, few, strategies(values, few, 0), 0)} == {
        f"fewer than {FEWEST} rows to compare"
    }


def test_degenerate_rows_do_not_break_it():
    assert strategies(np.zeros((20, 4)), np.repeat("a", 20), 0) == []
    same = strategies(np.ones((40, 4)), np.repeat("a", 40), 0)
    assert [len(strategy.rows) for strategy in same] == [40]
    assert len(strategies(np.ones((1, 1)), np.array(["a"]), 0)) == 1


def test_words_are_added_up_wherever_they_stand():
    words = [["good", "film", ""], ["film", "good", "rare"], ["good", "good", ""]]
    values = np.array([[1.0, 2.0, 0.0], [3.0, 4.0, -5.0], [6.0, 7.0, 0.0]])
    table, names = word_values(values, words, fewest=2)
    assert names == ("film", "good", "other words")
    assert table.tolist() == [[2.0, 1.0, 0.0], [3.0, 4.0, 5.0], [0.0, 13.0, 0.0]]


def test_places_are_named_as_people_see_them():
    assert place_of(["7,7"], CELLS) == "the bottom right corner"
    assert place_of(["0,3", "0,4"], CELLS) == "the top edge"
    assert place_of(["4,0"], CELLS) == "the left edge"
    assert place_of(["0,0", "7,7"], CELLS) == "the top left corner and the bottom right corner"
    assert sum(len(found) for found in zones(CELLS).values()) == 64


def test_a_watermark_word_in_one_class_is_named():
    rng, vocabulary = np.random.default_rng(0), [f"word{place}" for place in range(60)]
    classes = np.repeat(["bad", "good"], 60)
    words = [[*rng.choice(vocabulary, 12).tolist(), "bought"] for _ in classes]
    values = rng.normal(size=(120, 13))
    values[:, 12] *= 0.05
    for row in range(60, 120):
        words[row][12], values[row, 12] = "watermark", 8.0
    table, names = word_values(values, words, FEWEST)
    own = strategies(table, classes, 0)
    every = [*own, *together(own)]
    found = [
        (strategy.name, [names[at] for at in one.region])
        for strategy, one in zip(every, shortcuts(table, classes, every, 0), strict=True)
        if one.candidate
    ]
    assert found == [("good", ["watermark"])]
