import numpy as np
import pytest
from scipy.stats import norm

from auditkit.performance.confusion import newcombe_difference
from auditkit.performance.observer import Predictions, log_softmax
from auditkit.statistics.roc import auroc, auroc_interval
from auditkit.variants.measures import MEASURES, Rows, Summed, resampled, worst_of
from auditkit.variants.paired import of_areas, of_extremes, of_means, of_resamples, of_shares


@pytest.mark.parametrize(("gained", "lost", "n"), [(3, 12, 80), (0, 1, 44), (40, 40, 500), (7, 0, 30), (0, 0, 1000)])
def test_tangos_ends_are_where_the_score_is_just_not_rejected(gained: int, lost: int, n: int) -> None:
    """Tango 1998, from the likelihood itself: the discordant shares that fit best under a given difference."""

    def score(difference: float) -> float:
        shares = np.linspace(max(0.0, -difference), (1 - difference) / 2, 400_001)  # of rows lost
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                gained * np.log(np.maximum(shares + difference, 1e-300))
                + lost * np.log(np.maximum(shares, 1e-300))
                + (n - gained - lost) * np.log(np.maximum(1 - 2 * shares - difference, 1e-300))
            )
        best = shares[np.argmax(likelihood)]
        return (gained - lost - n * difference) / np.sqrt(n * (2 * best + difference - difference**2))

    found = of_shares(gained, lost, n)
    z = norm.ppf(0.975)
    assert found.value == pytest.approx((gained - lost) / n)
    assert score(found.lower) == pytest.approx(z, abs=0.01)
    assert score(found.upper) == pytest.approx(-z, abs=0.01)


def test_nothing_changed_is_zero_within_its_interval() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    for found in (
        of_shares(0, 0, 200),
        of_means(np.zeros(50)),
        of_areas((scores, scores + 1), (scores, scores + 1)),
        of_resamples(0.0, np.zeros(500)),
    ):
        assert found.value == 0
        assert found.lower <= 0 <= found.upper
        assert found.p_value == 1


def test_area_difference_is_the_difference_of_areas() -> None:
    rng = np.random.default_rng(1)
    before, after = (rng.normal(size=200), rng.normal(1, 1, 80)), (rng.normal(size=200), rng.normal(2, 1, 80))
    assert of_areas(before, after).value == pytest.approx(auroc(*after) - auroc(*before))


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
    """Group, label, and the scores of two models that mostly agree; the second is a little noisier."""
    group = rng.random(n) < 0.3
    label = (rng.random(n) < 0.4 + 0.1 * group).astype(np.int64)
    first = rng.normal(size=n) + 1.2 * label + 0.5 * rng.normal(size=n)
    return group, label, first, first + 0.4 * rng.normal(size=n) - 0.3 * group


def summed(group: np.ndarray, label: np.ndarray, *scores: np.ndarray) -> list[Summed]:
    rows = Rows(label, 2, {("sex", "m"): ~group, ("sex", "f"): group}, 1, 30, 15)
    made = []
    for score in scores:
        logits = np.stack([np.zeros(len(score)), 2 * (score - 0.8)], axis=1)
        made.append(Summed(rows, Predictions(np.arange(len(score)), label, log_softmax(logits))))
    return made


def test_paired_intervals_cover_and_are_narrower_than_unpaired_ones() -> None:
    """300 draws of 400 rows, each difference against its value over 300,000 rows."""
    names = ("worst_group_accuracy", "demographic_parity_difference", "calibration_error")
    everybody = drawn(np.random.default_rng(99), 300_000)
    points = [model.candidates(model.matrix.sum(axis=0)) for model in summed(*everybody)]
    truth = {name: float(worst_of(name, points[1][name, ""]) - worst_of(name, points[0][name, ""])) for name in names}
    right = [(score > 0.8) == everybody[1] for score in everybody[2:]]
    truth |= {"accuracy": float(right[1].mean() - right[0].mean())}
    truth |= {"area": auroc(*sides(everybody, 3)) - auroc(*sides(everybody, 2))}
    hits = dict.fromkeys(truth, 0)
    paired, unpaired = dict.fromkeys(truth, 0.0), dict.fromkeys(("accuracy", "area"), 0.0)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sample = drawn(rng, 400)
        models = summed(*sample)
        values, replicates = [m.candidates(m.matrix.sum(axis=0)) for m in models], resampled(models, 150, rng)
        found = {}
        for name in names:
            (before, after), draws = (side[name, ""] for side in values), tuple(side[name, ""] for side in replicates)
            lowest = MEASURES[name].better == "higher"
            found[name] = (
                of_extremes(before, after, draws, lowest)
                if len(before) > 1
                else of_resamples(float(after[0] - before[0]), draws[1][0] - draws[0][0])
            )
        was, now = ((score > 0.8) == sample[1] for score in sample[2:])
        found["accuracy"] = of_shares(int((~was & now).sum()), int((was & ~now).sum()), 400)
        found["area"] = of_areas(sides(sample, 2), sides(sample, 3))
        _, low, high = newcombe_difference(int(now.sum()), 400, int(was.sum()), 400, 0.95)
        unpaired["accuracy"] += high - low
        apart = [auroc_interval(*sides(sample, place)) for place in (2, 3)]
        unpaired["area"] += float(np.hypot(*(area.upper - area.lower for area in apart)))
        for name, one in found.items():
            hits[name] += one.lower <= truth[name] <= one.upper
            paired[name] += one.upper - one.lower
    for name, count in hits.items():
        assert count >= 0.91 * 300, f"{name}: {count} of 300"
    for name in ("accuracy", "area", "calibration_error"):
        assert hits[name] <= 0.985 * 300, f"{name}: {hits[name]} of 300"
    assert paired["accuracy"] < 0.75 * unpaired["accuracy"]
    assert paired["area"] < 0.6 * unpaired["area"]


def sides(sample: tuple[np.ndarray, ...], place: int) -> tuple[np.ndarray, np.ndarray]:
    return sample[place][sample[1] == 0], sample[place][sample[1] == 1]


def test_resamples_of_one_draw_are_shared() -> None:
    """The same model twice differs in no resample, whatever the resample."""
    model, twin = (summed(*drawn(np.random.default_rng(3), 300)[:3])[0] for _ in range(2))
    first, second = resampled([model, twin], 50, np.random.default_rng(0))
    for name, values in first.items():
        assert np.array_equal(values, second[name])
        assert np.ptp(values) > 0


def test_the_extreme_of_one_clear_candidate_is_an_ordinary_difference() -> None:
    rng = np.random.default_rng(4)
    before = np.array([0.5, 0.9, 0.95])[:, None] + 0.01 * rng.normal(size=(3, 2000))
    after = before - np.array([0.1, 0.0, 0.0])[:, None] + 0.002 * rng.normal(size=(3, 2000))
    points = before.mean(axis=1), after.mean(axis=1)
    found = of_extremes(*points, (before, after), lowest=True)
    alone = of_resamples(points[1][0] - points[0][0], after[0] - before[0])
    assert found[:3] == pytest.approx(alone[:3])
    assert found.p_value == pytest.approx(alone.p_value)
    turned = of_extremes(-points[0], -points[1], (-before, -after), lowest=False)
    assert (turned.value, turned.lower, turned.upper) == pytest.approx((-found.value, -found.upper, -found.lower))
