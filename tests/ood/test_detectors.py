"""Every detector against its closed form, its slow definition or another library."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import OAS
from sklearn.neighbors import NearestNeighbors

from auditkit.engine.analysis import Observation
from auditkit.ood.detector import NotApplicableError
from auditkit.ood.energy import energy_score
from auditkit.ood.gaussian import fit_gaussian, oas_shrinkage
from auditkit.ood.gen import gen_score
from auditkit.ood.knn import knn_distance, unit_length
from auditkit.ood.max_logit import max_logit_score
from auditkit.ood.msp import msp_score
from auditkit.ood.panel import fit_panel
from auditkit.ood.reference import Reference, ReferenceObserver, TableInputs
from auditkit.ood.registry import DETECTORS, chosen

CPU = torch.device("cpu")
LOGITS = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * 4


def observation(features, labels, logits=None, inputs=(), start=0):
    n = len(labels)
    logits = torch.zeros(n, 3) if logits is None else logits
    return Observation(np.arange(start, start + n), np.asarray(labels), logits, features, inputs)


def streamed(features, labels, table=None, inputs=(), neighbours=5, bank=10_000):
    observer = ReferenceObserver(3, table, bank, neighbours, seed=0)
    observer.update(observation(features, labels, inputs=inputs))
    return observer.reference()


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 3
    mixing = torch.randn(6, 6, generator=generator)
    centres = 3 * torch.randn(3, 6, generator=generator)
    return torch.randn(300, 6, generator=generator) @ mixing + centres[labels], labels.numpy()


def test_logit_scores_equal_their_closed_forms():
    p = torch.softmax(LOGITS.double(), dim=1)
    assert torch.allclose(msp_score(LOGITS).exp(), 1 - p.amax(dim=1), atol=1e-12)
    assert torch.allclose(max_logit_score(LOGITS), -LOGITS.double().amax(dim=1))
    assert torch.allclose(energy_score(LOGITS), -LOGITS.double().exp().sum(dim=1).log())
    assert torch.allclose(gen_score(LOGITS), (p * (1 - p)).pow(0.1).sum(dim=1), atol=1e-9)
    top = p.topk(2, dim=1).values
    assert torch.allclose(gen_score(LOGITS, 0.5, 2), (top * (1 - top)).sqrt().sum(dim=1), atol=1e-9)


def test_confident_rows_are_still_told_apart_where_the_probability_rounds_to_one():
    logits = torch.tensor([[0.0, 50.0], [0.0, 60.0], [0.0, 500.0]])
    for score in (msp_score(logits), gen_score(logits)):
        assert (score[0] > score[1]).item()
        assert (score[1] > score[2]).item()
        assert torch.isfinite(score).all()


def test_the_mahalanobis_distance_is_the_nearest_class_under_the_shrunken_covariance(rows):
    features, labels = rows
    fitted = DETECTORS["mahalanobis"].fit(streamed(features, labels))
    x = features.double().numpy()
    means = np.stack([x[labels == c].mean(axis=0) for c in range(3)])
    residuals = x - means[labels]
    spread = np.sqrt((residuals**2).mean(axis=0))
    shrunken = OAS(assume_centered=True).fit(residuals / spread)
    inverse = np.linalg.inv(shrunken.covariance_ * np.outer(spread, spread))
    slow = [min((row - m) @ inverse @ (row - m) for m in means) for row in x]
    assert fitted.facts["shrinkage"] == pytest.approx(shrunken.shrinkage_, rel=1e-9)
    assert fitted.score(observation(features, labels)).numpy() == pytest.approx(slow, rel=1e-8)


def test_the_relative_distance_takes_the_distance_to_everything_away(rows):
    features, labels = rows
    reference = streamed(features, labels)
    near = DETECTORS["mahalanobis"].fit(reference).score(observation(features, labels))
    relative = DETECTORS["relative_mahalanobis"].fit(reference).score(observation(features, labels))
    x = features.double().numpy()
    centred = x - x.mean(axis=0)
    spread = centred.std(axis=0)
    shrunken = OAS(assume_centered=True).fit(centred / spread).covariance_ * np.outer(spread, spread)
    everything = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(shrunken), centred)
    assert (near - relative).numpy() == pytest.approx(everything, rel=1e-8)


def test_distances_are_on_the_scale_of_one_row_however_many_rows_were_fitted(rows):
    features, labels = rows
    once = DETECTORS["mahalanobis"].fit(streamed(features, labels)).score(observation(features, labels))
    often, many = features.repeat(20, 1), np.tile(labels, 20)
    again = DETECTORS["mahalanobis"].fit(streamed(often, many)).score(observation(features, labels))
    assert again.median().item() == pytest.approx(once.median().item(), rel=0.2), "n=300 is shrunk a little more"


def test_a_dead_unit_that_wakes_up_a_little_does_not_decide_the_score(rows):
    features, labels = rows
    dead = torch.cat([features, torch.zeros(len(features), 1)], dim=1)
    fitted = DETECTORS["mahalanobis"].fit(streamed(dead, labels))
    awake = dead.clone()
    awake[:, -1] = 1e-3
    before, after = (fitted.score(observation(part, labels)) for part in (dead, awake))
    assert fitted.facts["dead_units"] == 1
    assert torch.allclose(before, after, rtol=1e-5)


def test_collinear_units_and_fewer_rows_than_units_stay_finite(rows):
    features, labels = rows
    doubled = torch.cat([features, features, features], dim=1)[:10]
    fitted = DETECTORS["mahalanobis"].fit(streamed(doubled, labels[:10]))
    assert torch.isfinite(fitted.score(observation(doubled, labels[:10]))).all()
    assert fitted.facts["condition_number"] < 1e6


def test_shrinkage_equals_scikit_learn_and_nothing_to_shrink_is_refused():
    rng = np.random.default_rng(0)
    for n, width in ((20, 5), (400, 8), (10, 30)):
        x = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
        expected = OAS(assume_centered=True).fit(x).shrinkage_
        assert oas_shrinkage(x.T @ x / n, n) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(NotApplicableError, match="no direction varies"):
        fit_gaussian(np.zeros((3, 3)), 10, np.zeros((1, 3)), CPU)


def test_neighbour_distances_equal_scikit_learn_and_the_cosine_identity(rows):
    features, labels = rows
    fitted = DETECTORS["knn"].fit(streamed(features, labels, neighbours=7))
    found = fitted.score(observation(features[:50] + 1, labels[:50])).numpy()
    unit = unit_length(features).numpy()
    asked = unit_length(features[:50] + 1)
    slow = NearestNeighbors(n_neighbors=7).fit(unit).kneighbors(asked.numpy())[0][:, -1]
    assert found == pytest.approx(slow, abs=1e-5)
    cosine = torch.nn.functional.cosine_similarity(features[:1], features[1:2]).item()
    one = knn_distance(unit_length(features[:1]), unit_length(features[1:2]), 1).item()
    assert one**2 == pytest.approx(2 - 2 * cosine, abs=1e-5)


def test_more_neighbours_than_rows_take_the_farthest(rows):
    features, labels = rows
    fitted = DETECTORS["knn"].fit(streamed(features[:4], labels[:4], neighbours=50))
    assert fitted.facts == {"neighbours": 4.0, "bank_rows": 4.0}


TABLE = TableInputs(numeric=("age", "hours"), categorical=("job",), codes=(4,))


def table_rows(n=400):
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randn(n, 2, generator=generator)
    codes = torch.randint(1, 4, (n, 1), generator=generator)
    return numbers, codes


def scored(name, numbers, codes):
    fit_numbers, fit_codes = table_rows()
    n = len(fit_numbers)
    reference = streamed(torch.randn(n, 2), np.zeros(n, dtype=int), TABLE, (fit_numbers, fit_codes))
    fitted = DETECTORS[name].fit(reference)
    return fitted, observation(None, [0] * len(numbers), inputs=(numbers, codes))


def test_the_input_density_adds_the_numbers_distance_and_the_categories_rarity():
    numbers, codes = table_rows()
    fitted, seen = scored("input_mahalanobis", numbers, codes)
    x = numbers.double().numpy()
    centred = x - x.mean(axis=0)
    spread = centred.std(axis=0)
    covariance = OAS(assume_centered=True).fit(centred / spread).covariance_ * np.outer(spread, spread)
    distance = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred)
    counts = np.bincount(codes[:, 0].numpy(), minlength=4)
    rarity = -2 * np.log((counts[codes[:, 0].numpy()] + 1) / (len(x) + 4))
    assert fitted.score(seen).numpy() == pytest.approx(distance + rarity, rel=1e-8)


def test_the_most_unusual_value_is_named():
    numbers = torch.tensor([[0.0, 40.0], [-9.0, 0.0], [0.0, 0.0]])
    codes = torch.tensor([[1], [1], [0]])
    fitted, seen = scored("input_max_z", numbers, codes)
    assert [fitted.columns[place] for place in fitted.blame(seen)] == ["hours", "age", "job"]
    score = fitted.score(seen)
    assert score[0].item() == pytest.approx(40, rel=0.1)
    assert score[2].item() == pytest.approx(3.03, abs=0.05), "a code seen 0 times in 400 rows: 1 in 404"


def test_a_constant_column_does_not_divide_by_zero():
    table = TableInputs(numeric=("one",))
    reference = streamed(torch.randn(10, 2), np.zeros(10, dtype=int), table, (torch.ones(10, 1),))
    fitted = DETECTORS["input_max_z"].fit(reference)
    score = fitted.score(observation(None, [0, 0], inputs=(torch.tensor([[1.0], [3.0]]),)))
    assert score.tolist() == [0.0, 2.0]


def test_the_registry_is_complete_and_honest():
    assert list(DETECTORS) == [detector.name for detector in chosen(None, True, "text", several=True)]
    for detector in DETECTORS.values():
        assert detector.sees in ("logits", "features", "inputs")
        assert detector.source
        assert detector.valid_for
        if detector.sees == "logits" and not detector.one_class:
            assert "gross errors" in detector.valid_for


def test_without_features_a_table_or_a_training_split_a_detector_says_why():
    panel = fit_panel(chosen(None), Reference(rows=10))
    assert set(panel.fitted) == {"msp", "max_logit", "energy", "gen"}
    assert "penultimate" in panel.refused["knn"].reason
    assert "no table" in panel.refused["input_max_z"].reason
    assert "no training split" in fit_panel(chosen(None), None).refused["mahalanobis"].reason


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 5), st.booleans())
@settings(max_examples=25, deadline=None)
def test_batches_their_order_and_merging_do_not_change_what_is_fitted(sizes, seed, merged):
    n = sum(sizes)
    generator = torch.Generator().manual_seed(seed)
    features, labels = torch.randn(n, 4, generator=generator), np.arange(n) % 3
    codes = torch.randint(0, 4, (n, 1), generator=generator)
    inputs = (features[:, :2], codes)
    whole = ReferenceObserver(3, TABLE, 20, 5, seed=0)
    whole.update(observation(features, labels, inputs=inputs))
    parts, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        seen = observation(features[part], labels[part], inputs=tuple(i[part] for i in inputs), start=start)
        parts.append(seen)
        start += size
    streamed_in_parts = ReferenceObserver(3, TABLE, 20, 5, seed=0)
    for seen in reversed(parts):
        observer = ReferenceObserver(3, TABLE, 20, 5, seed=0) if merged else streamed_in_parts
        observer.update(seen)
        if merged:
            streamed_in_parts.merge(observer)
    a, b = whole.reference(), streamed_in_parts.reference()
    assert np.array_equal(a.bank, b.bank)
    assert np.array_equal(a.counts[0], b.counts[0])
    for left, right in ((a.features, b.features), (a.numbers, b.numbers)):
        assert left.means == pytest.approx(right.means, abs=1e-10)
        assert left.within == pytest.approx(right.within, abs=1e-9)
        assert left.total == pytest.approx(right.total, abs=1e-9)


def test_moments_equal_numpy(rows):
    features, labels = rows
    moments = streamed(features, labels).features
    x = features.double().numpy()
    residuals = np.concatenate([x[labels == c] - x[labels == c].mean(axis=0) for c in range(3)])
    assert moments.within == pytest.approx(residuals.T @ residuals, rel=1e-9)
    assert moments.total / len(x) == pytest.approx(np.cov(x.T, bias=True), rel=1e-9)


def test_rows_that_are_not_finite_are_counted_and_not_fitted_on(rows):
    features, labels = rows
    broken = features.clone()
    broken[3, 2], broken[7] = torch.inf, torch.nan
    observer = ReferenceObserver(3, None, 100, 5, seed=0)
    observer.update(observation(broken, labels))
    assert observer.strange == 2
    assert observer.reference().features.rows == 298
    assert np.isfinite(observer.reference().bank).all()


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(DETECTORS))
def test_scores_on_cuda_agree_with_the_cpu(name, rows):
    features, labels = rows
    numbers, codes = table_rows(300)
    logits = torch.randn(300, 3, generator=torch.Generator().manual_seed(9))
    found = []
    for device in (CPU, torch.device("cuda")):
        inputs = (numbers.to(device), codes.to(device))
        seen = observation(features.to(device), labels, logits.to(device), inputs)
        observer = ReferenceObserver(3, TABLE, 200, 5, seed=0)
        observer.update(seen)
        found.append(DETECTORS[name].fit(observer.reference()).score(seen).cpu())
    assert torch.allclose(*found, rtol=1e-6, atol=1e-4 if name == "knn" else 1e-8)
