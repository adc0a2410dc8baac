"""Mitigation: thresholds against fairlearn's ThresholdOptimizer, and all methods side by side on UCI Adult.

Both optimisers get the same million rows, scores and groups; fairlearn's works on a grid of 1,000 rates, ours has none.
On Adult (people up to 65) a logistic regression is trained on half of the rows, thresholds are fitted on a fifth, and
everything is judged on the rest.
"""

import statistics
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.mitigation.comparison import METHODS, Comparison, compare_mitigations
from auditkit.fairness.mitigation.findings import mitigation_findings
from auditkit.fairness.mitigation.held_out import halves
from auditkit.fairness.mitigation.randomised import optimise_thresholds, programme_of_counts
from auditkit.fairness.mitigation.targets import target
from auditkit.fairness.scores.bins import ScoreCounts
from auditkit.fairness.settings import Settings
from auditkit.spec import Gate

TITLE = "Mitigation: thresholds, reweighing, retraining"
ROWS = 1_000_000
CONSTRAINTS = ("demographic_parity", "true_positive_rate_parity", "equalized_odds")
Row = dict[str, str]


def people(rows: int = ROWS) -> tuple[npt.NDArray, npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    group = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    truth = rng.random(rows) < np.array([0.5, 0.3, 0.2])[group]
    scores = 1 / (1 + np.exp(-rng.normal(np.where(truth, 1.0, -1.0) - 0.4 * group, 1.0)))
    return np.array(["a", "b", "c"])[group], truth, scores


def fairlearn_optimum(
    group: npt.NDArray, truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64], constraint: str
) -> tuple[float, float, float]:
    """Seconds to fit, expected accuracy, expected gap."""
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        def fit(self, x: Any, y: Any) -> "Given":
            self.classes_ = np.array([0, 1])
            return self

        def predict(self, x: Any) -> Any:
            return np.asarray(x)[:, 0]

    features, label = scores[:, None], truth.astype(int)
    optimiser = ThresholdOptimizer(
        estimator=Given().fit(features, label), constraints=constraint, prefit=True, predict_method="predict"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        optimiser.fit(features, label, sensitive_features=group)
        seconds = time.perf_counter() - start
    chances = optimiser._pmf_predict(features, sensitive_features=group)[:, 1]
    return seconds, float(np.where(truth, chances, 1 - chances).mean()), gap_of(chances, truth, group, constraint)


def gap_of(chances: npt.NDArray, truth: npt.NDArray[np.bool_], group: npt.NDArray, constraint: str) -> float:
    """The gap of expected decisions over all rates of a constraint."""
    among = {"selection_rate": truth | ~truth, "true_positive_rate": truth, "false_positive_rate": ~truth}
    gaps = []
    for name in target(constraint).rates:
        rates = [chances[(group == one) & among[name]].mean() for one in np.unique(group)]
        gaps.append(max(rates) - min(rates))
    return float(max(gaps))


def speed(runs: int) -> list[Row]:
    group, truth, scores = people()
    codes = encode_groups({"group": pa.array(group)}, "people")
    counts = ScoreCounts.tally(codes, truth, scores)
    made = []
    for constraint in CONSTRAINTS:
        theirs, ours, binned = [], [], []
        for run in range(runs):
            if run == 0:
                theirs.append(fairlearn_optimum(group, truth, scores, constraint))
            start = time.perf_counter()
            found = optimise_thresholds(scores, truth, codes, constraint)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            in_bins = programme_of_counts(counts, target(constraint), 0.5, 30).within(0.0)
            binned.append(time.perf_counter() - start)
        chances = found.policy.chances(codes, scores)
        accuracy = float(np.where(truth, chances, 1 - chances).mean())
        gap = gap_of(chances, truth, group, constraint)
        their, mine = statistics.median(one[0] for one in theirs), statistics.median(ours)
        made += [
            {
                "what": f"{constraint}, {ROWS:,} rows: fairlearn's ThresholdOptimizer",
                "result": f"{their:.2f} s, accuracy {theirs[0][1]:.5f}, gap {theirs[0][2]:.5f}",
                "against": "",
            },
            {
                "what": f"{constraint}, {ROWS:,} rows: ours",
                "result": f"{mine:.3f} s, accuracy {accuracy:.5f}, gap {gap:.5f}",
                "against": f"{their / mine:.0f} times faster; accuracy {accuracy - theirs[0][1]:+.5f}",
            },
            {
                "what": f"{constraint}: ours, from counts in 200 bins of the score",
                "result": f"{statistics.median(binned):.3f} s, accuracy {in_bins.objective:.5f}",
                "against": f"binning costs {accuracy - in_bins.objective:.5f} of accuracy",
            },
        ]
    return made


def adult_table() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], pa.Table]:
    """Standardised features with one column per category, labels, and the table."""
    from auditkit.subject.builtin.adult import adult

    splits, schema = adult()
    table = pa.concat_tables([splits[name].table for name in ("train", "validation", "test")])
    columns = []
    for name in schema.features:
        column = table.column(name)
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            values = np.array(["" if value is None else value for value in column.to_pylist()])
            columns += [values == one for one in np.unique(values)]
        else:
            numbers = np.nan_to_num(column.to_numpy().astype(np.float64))
            columns += [(numbers - numbers.mean()) / (numbers.std() or 1)]
    return np.column_stack(columns).astype(np.float64), np.array(table.column("class")) == schema.positive, table


def told(value: float, lower: float, upper: float) -> str:
    return f"{100 * value:.1f} [{100 * lower:.1f}, {100 * upper:.1f}]"


def side_by_side(found: Comparison, title: str) -> list[Row]:
    who = found.who().to_pylist()
    made = []
    for line in found.table().to_pylist():
        moved = "; ".join(
            f"{one['group']} +{one['gained_per_1000']:.0f} -{one['lost_per_1000']:.0f}"
            for one in who
            if one["method"] == line["method"]
        )
        accuracy = told(line["accuracy"], line["accuracy_lower"], line["accuracy_upper"])
        gap = told(line["gap"], line["gap_lower"], line["gap_upper"])
        change = told(line["accuracy_change"], line["accuracy_change_lower"], line["accuracy_change_upper"])
        knows = ", needs the group to decide" if line["knows_group"] else ""
        made.append(
            {
                "what": f"adult, {title}: {line['method']} ({line['policy']}{knows})",
                "result": f"accuracy {accuracy} %, gap {gap} pts",
                "against": ""
                if line["method"] == METHODS[0]
                else f"accuracy {change} pts; per 1,000: {moved}; {line['seconds']:.1f} s",
            }
        )
    return made


def adult() -> list[Row]:
    features, truth, table = adult_table()
    sex = {"sex": table.column("sex")}
    made = []
    for metric, limit in (("demographic_parity_difference", 0.05), ("equalized_odds_difference", 0.05)):
        found = compare_mitigations(features, truth, sex, metric=metric, limit=limit)
        name = metric.removesuffix("_difference").replace("_", " ")
        made += side_by_side(found, f"sex, {name} allowed 5 pts")
    return made + adult_frontier(features, truth, table)


def adult_frontier(features: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], table: pa.Table) -> list[Row]:
    """The frontier of a model's scores: fitted on half of the rows it was not trained on, judged on the other half."""
    from sklearn.linear_model import LogisticRegression

    order = np.random.default_rng(0).permutation(len(truth))
    train, rest = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
    scores = LogisticRegression(max_iter=1000).fit(features[train], truth[train]).predict_proba(features[rest])[:, 1]
    columns = {name: table.column(name).take(pa.array(rest)) for name in ("sex", "race")}
    fit, held_out = halves(ScoreCounts.tally(encode_groups(columns, "adult"), truth[rest], scores))
    gates = {"four_fifths": [Gate(at_least=0.8)], "equal_opportunity_difference": [Gate(at_most=0.1)]}
    start = time.perf_counter()
    found = mitigation_findings(fit, held_out, 0.5, Settings(), gates, "held out")
    seconds = time.perf_counter() - start
    made = [
        {
            "what": f"adult, frontier, {line['attribute']}, {line['metric']}: {line['policy']}"
            + ("" if line["allowed"] is None else f", allowed {100 * line['allowed']:.1f} pts"),
            "result": f"accuracy {told(line['accuracy'], line['accuracy_lower'], line['accuracy_upper'])} %, "
            f"gap {told(line['gap'], line['gap_lower'], line['gap_upper'])} pts",
            "against": f"fitted rows: accuracy {100 * line['fit_accuracy']:.1f} %, gap {100 * line['fit_gap']:.1f} pts",
        }
        for line in found.tables["frontier"].to_pylist()
        if line["attribute"] == "sex" and line["policy"] != "randomised"
    ]
    made += [
        {
            "what": f"adult, {line['attribute']}, {line['metric']} {line['limit']:g}, cheapest change: "
            f"{line['policy']}",
            "result": f"{line['today_gap']:.3f} to {line['gap']:.3f} "
            f"[{line['gap_lower']:.3f}, {line['gap_upper']:.3f}], gate {line['verdict']}",
            "against": f"accuracy {told(*(line['accuracy_change' + end] for end in ('', '_lower', '_upper')))} pts; "
            f"{line['gained']:,} of {line['n']:,} from no to yes, {line['lost']:,} from yes to no",
        }
        for line in found.tables["cheapest_change"].to_pylist()
    ]
    made.append(
        {"what": "adult, all frontiers and changes of sex and race", "result": f"{seconds:.1f} s", "against": ""}
    )
    return made


def rows(runs: int = 5) -> list[Row]:
    return speed(runs) + adult()
