"""Identity swaps: does the score of a sentence change with nothing but who it speaks of?

Every term of every group stands in every template of its dimension, and the model is asked for the score of each
sentence. Two groups are compared by the mean difference of their scores. Both terms and templates are samples, of the
ways to name a group and of what may be said: the standard error adds up the spread of the difference over terms and
over templates (two-way clustering; Cameron, Gelbach and Miller 2011, Journal of Business & Economic Statistics 29(2),
238-249), with the degrees of freedom of the fewer of both. Counterparts (mother, father) are compared place by place.
The interval of a dimension's largest gap holds for all its pairs of groups at once (Bonferroni); p-values are adjusted
by Holm over all pairs of all dimensions. A model that knows none of the terms tells nobody apart, and it is said so.

Of a model that predicts a number the score is that number: differences are in its unit, and no decision can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from auditkit.evidence.metrics import Caveat, Findings, MetricRow
from auditkit.fairness.identity.dimensions import Dimension
from auditkit.fairness.settings import Settings
from auditkit.statistics.multiplicity import holm

Floats = npt.NDArray[np.float64]
Score = Callable[[list[str]], npt.ArrayLike]
GAP, SCORE = "identity_gap", "identity_score"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("dimension", "title", "group", "other")]
    + [(name, pa.int64()) for name in ("terms", "templates", "flips", "sentences")]
    + [(name, pa.float64()) for name in ("difference", "lower", "upper", "p_value", "p_adjusted")]
    + [(name, pa.string()) for name in ("sentence", "other_sentence")]
    + [(name, pa.float64()) for name in ("score", "other_score")]
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference of scores with its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, confidence: float, most: float = 1.0) -> tuple[float, float]:
        """Student's interval of that confidence, within -most and most: probabilities cannot differ by more than 1."""
        from scipy.special import stdtrit

        away = float(stdtrit(self.freedom, 0.5 + confidence / 2)) * self.error
        return max(-most, self.value - away), min(most, self.value + away)

    @property
    def p_value(self) -> float:
        """Of no difference, two-sided; 1 where nothing differs anywhere."""
        from scipy.special import stdtr

        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))


def compare(first: Floats, second: Floats, aligned: bool) -> Difference:
    """The mean difference of two groups' scores, [terms, templates] each; aligned: place by place.

    >>> found = compare(np.full((4, 5), 0.7), np.full((4, 5), 0.5), aligned=True)
    >>> round(found.value, 12), round(found.error, 12)
    (0.2, 0.0)
    """
    by_template = first.mean(axis=0) - second.mean(axis=0)
    if aligned:
        by_term = (first - second).mean(axis=1)
        over_terms = _error(by_term) ** 2
        terms = len(by_term)
    else:
        over_terms = _error(first.mean(axis=1)) ** 2 + _error(second.mean(axis=1)) ** 2
        terms = min(len(first), len(second))
    error = float(np.sqrt(over_terms + _error(by_template) ** 2))
    value = float(by_template.mean())
    rounding = 1e-12 * max(1.0, float(np.abs(first).max()), float(np.abs(second).max()))
    return Difference(value if abs(value) > rounding else 0.0, error if error > rounding else 0.0,
                      min(terms, len(by_template)) - 1)  # fmt: skip


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def identity_findings(
    dimensions: Sequence[Dimension],
    score: Score,
    settings: Settings,
    *,
    threshold: float | None = 0.5,
    knows: Callable[[str], bool] | None = None,
) -> Findings:
    """Mean scores by group and the largest gap of every dimension; a table of all pairs of groups.

    score: sentences → positive probability [n], decided positive from `threshold` on; or where that is None a number
    that is predicted, [n]. knows: whether the model can tell a term from an unknown word; all of
    them where None. A dimension of which a group has fewer than three known terms is not judged.

    >>> from auditkit.fairness.identity.dimensions import shipped
    >>> found = identity_findings(shipped(), lambda texts: np.full(len(texts), 0.5), Settings())
    >>> {row.value for row in found.metrics if row.metric == "identity_gap"}
    {0.0}
    """
    metrics: list[MetricRow] = []
    records: list[dict[str, object]] = []
    caveats: list[Caveat] = []
    for dimension in dimensions:
        known, unknown = _known(dimension, knows)
        if unknown:
            listed = ", ".join(unknown[:6]) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
            text = f"identity swaps, {dimension.name}: the model does not know {listed}; left out"
            caveats.append(Caveat("fairness", text, f"fairness/{GAP}", "note"))
        if known is None:
            reason = "the model knows fewer than three terms of a group, and tells the others apart from nothing"
            metrics.append(MetricRow("fairness", GAP, attribute=dimension.name, status="not applicable", reason=reason))
            continue
        scores = _scores(known, score)
        metrics += _rows(known, scores, settings, threshold is None)
        records += _records(known, scores, settings, threshold)
    adjusted = holm([float(str(record["p_value"])) for record in records]).tolist() if records else []
    records = [{**record, "p_adjusted": p} for record, p in zip(records, adjusted, strict=True)]
    return Findings(metrics, {"identity_swaps": pa.Table.from_pylist(records, schema=_SCHEMA)}, caveats)


def _known(dimension: Dimension, knows: Callable[[str], bool] | None) -> tuple[Dimension | None, list[str]]:
    """The dimension with the terms the model knows, None where they are too few, and the terms it does not know."""
    if knows is None:
        return dimension, []
    unknown = [term for terms in dimension.groups.values() for term in terms if not knows(term)]
    if not unknown:
        return dimension, []
    groups = dict(dimension.groups)
    if dimension.aligned:
        places = [at for at, counterparts in enumerate(zip(*groups.values(), strict=True))
                  if not set(counterparts) & set(unknown)]  # fmt: skip
        groups = {group: tuple(terms[at] for at in places) for group, terms in groups.items()}
    else:
        groups = {group: tuple(term for term in terms if term not in unknown) for group, terms in groups.items()}
    if min(len(terms) for terms in groups.values()) < 3:
        return None, unknown
    kept = Dimension(dimension.name, dimension.title, groups, dimension.templates, dimension.aligned, dimension.source)
    return kept, unknown


def _scores(dimension: Dimension, score: Score) -> dict[str, Floats]:
    """group → scores [terms, templates]."""
    texts = dimension.sentences()
    found = np.asarray(score(texts), dtype=np.float64)
    if found.shape != (len(texts),) or not np.isfinite(found).all():
        raise ValueError(f"a score for each of {len(texts)} sentences is needed, got shape {found.shape}")
    ends = np.cumsum([len(terms) * len(dimension.templates) for terms in dimension.groups.values()])
    parts = np.split(found, ends[:-1])
    return {group: part.reshape(-1, len(dimension.templates))
            for group, part in zip(dimension.groups, parts, strict=True)}  # fmt: skip


def _rows(dimension: Dimension, scores: Mapping[str, Floats], settings: Settings, numbers: bool) -> Iterator[MetricRow]:
    pairs = list(combinations(scores, 2))
    level = 1 - (1 - settings.confidence) / len(pairs)
    found = {pair: compare(scores[pair[0]], scores[pair[1]], dimension.aligned) for pair in pairs}
    edges = [difference.interval(level, np.inf if numbers else 1.0) for difference in found.values()]
    most = max(found, key=lambda pair: abs(found[pair].value))
    value = abs(found[most].value)
    yield MetricRow(
        "fairness",
        GAP,
        attribute=dimension.name,
        value=value,
        lower=min(value, max(max(0.0, low, -high) for low, high in edges)),
        upper=max(value, *(max(abs(low), abs(high)) for low, high in edges)),
        n=sum(part.size for part in scores.values()),
        unit="" if numbers else "points",
        better="lower",
        confidence=settings.confidence,
        method=f"largest mean difference of {'predictions' if numbers else 'scores'} between two groups; spread over "
        "terms and templates, all pairs at once (Bonferroni)",
        detail=f"{most[0]} - {most[1]}",
    )
    for group, part in scores.items():
        yield MetricRow("fairness", SCORE, attribute=dimension.name, group=group, value=float(part.mean()),
                        n=part.size, unit="" if numbers else "rate")  # fmt: skip


def _records(
    dimension: Dimension, scores: Mapping[str, Floats], settings: Settings, threshold: float | None
) -> Iterator[dict[str, object]]:
    """Every pair of groups, with the two sentences whose scores lie furthest apart in the direction of the mean.

    flips is null where nothing is decided.
    """
    for first, second in combinations(scores, 2):
        one, two = scores[first], scores[second]
        difference = compare(one, two, dimension.aligned)
        lower, upper = difference.interval(settings.confidence, np.inf if threshold is None else 1.0)
        sign = -1.0 if difference.value < 0 else 1.0
        if dimension.aligned:
            own, template = divmod(int((sign * (one - two)).argmax()), one.shape[1])
            other = own
            sides = (one, two)
        else:
            template = int((sign * (one.mean(axis=0) - two.mean(axis=0))).argmax())
            own, other = int((sign * one[:, template]).argmax()), int((sign * two[:, template]).argmin())
            sides = (one.mean(axis=0), two.mean(axis=0))
        said = dimension.templates[template]
        yield {
            "dimension": dimension.name,
            "title": dimension.title,
            "group": first,
            "other": second,
            "terms": len(one) + len(two),
            "templates": len(dimension.templates),
            "flips": None if threshold is None else int(((sides[0] >= threshold) != (sides[1] >= threshold)).sum()),
            "sentences": one.size if dimension.aligned else len(dimension.templates),
            "difference": difference.value,
            "lower": lower,
            "upper": upper,
            "p_value": difference.p_value,
            "sentence": said.replace("{}", dimension.groups[first][own]),
            "other_sentence": said.replace("{}", dimension.groups[second][other]),
            "score": float(one[own, template]),
            "other_score": float(two[other, template]),
        }
