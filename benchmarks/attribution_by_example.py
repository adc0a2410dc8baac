"""LIME, TracIn and permutation importance beside captum and scikit-learn, in time and in error; and counterfactuals.

Runs of all sides are interleaved in one process and medians are compared. LIME gets equally many masks on both sides,
permutation importance equally many permutations; TracIn is exact on both. Errors of LIME are those on a linear model,
whose attributions are known, relative to the largest.

Counterfactuals are of 40 people whom a network turns down: found by all changes of few columns, and by donors alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from auditkit.attribution import counterfactual, explain, influential, permutation_importance

TITLE = "Explanations by masks, examples and changes"
RUNS = 5


def medians(sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each side, all taking turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(RUNS + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def compared(what: str, sides: dict[str, Callable[[], Any]], notes: dict[str, str]) -> list[dict[str, str]]:
    seconds = medians(sides)
    first = next(iter(sides))
    return [
        {
            "what": what,
            "side": name,
            "median": f"{1000 * taken:,.1f} ms",
            "ratio": "" if name == first else f"{taken / seconds[first]:,.1f}",
            "note": notes.get(name, ""),
        }
        for name, taken in seconds.items()
    ]


def network(width: int, outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 64), nn.Tanh(), nn.Linear(64, outputs, bias=False)).eval()


def lime() -> list[dict[str, str]]:
    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr import Lime

    net, x, masks = network(20, 3), torch.randn(16, 20, generator=torch.Generator().manual_seed(0)), 200
    w, zeros = torch.randn(20, generator=torch.Generator().manual_seed(1)), torch.zeros(1, 20)

    def theirs(model: Callable, **told: Any) -> Tensor:
        target = None if model is linear else 0
        found = Lime(model, **told).attribute(x, zeros, target=target, n_samples=masks, perturbations_per_eval=masks)
        return found.detach()

    def linear(rows: Tensor) -> Tensor:
        return rows @ w

    def error(values: Any) -> str:
        return f"error on a linear model {(values - w * x).abs().max() / (w * x).abs().max():.0e}"

    plain = {"interpretable_model": SkLearnLinearRegression()}
    told: dict[str, Any] = {"samples": masks, "tolerance": 0.0}
    return compared(
        "LIME, 20 columns, 16 rows, 200 masks",
        {
            "auditkit": lambda: explain(net, x, method="lime", target=0, **told),
            "captum, default (Lasso)": lambda: theirs(net),
            "captum, least squares": lambda: theirs(net, **plain),
        },
        {
            "auditkit": error(explain(linear, x, method="lime", **told).values),
            "captum, default (Lasso)": error(theirs(linear)),
            "captum, least squares": error(theirs(linear, **plain)),
        },
    )


def tracin() -> list[dict[str, str]]:
    from captum.influence import TracInCPFast

    net = network(20, 5)
    x, known = (torch.randn(n, 20, generator=torch.Generator().manual_seed(n)) for n in (64, 4000))
    y, taught = torch.arange(64) % 5, torch.arange(4000) % 5
    data = torch.utils.data.TensorDataset(known, taught)
    loss = nn.CrossEntropyLoss(reduction="sum")
    fast = TracInCPFast(net, net[2], data, ["own"], lambda *_: 1.0, loss, batch_size=1000)
    found, theirs = influential(net, x, y, known, taught), fast.influence((x, y))
    largest = theirs.topk(5, dim=1).values.detach().numpy()
    note = f"largest relative difference {np.abs(found.helped / largest - 1).max():.0e}"
    return compared(
        "TracIn, 64 rows against 4,000, the five most influential",
        {
            "auditkit": lambda: influential(net, x, y, known, taught),
            "captum, TracInCPFast": lambda: [fast.influence((x, y), k=5, proponents=way) for way in (True, False)],
        },
        {"captum, TracInCPFast": note},
    )


def permuted() -> list[dict[str, str]]:
    from sklearn.base import BaseEstimator
    from sklearn.inspection import permutation_importance as theirs

    net, x = network(20, 3), torch.randn(2000, 20, generator=torch.Generator().manual_seed(0))
    labels = net(x).argmax(dim=1)

    class Fixed(BaseEstimator):
        def fit(self, x: Any, y: Any) -> Any:
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, x: Any) -> Any:
            with torch.no_grad():
                return net(torch.from_numpy(x)).argmax(dim=1).numpy()

    return compared(
        "Permutation importance, 2,000 rows, 20 columns, 10 permutations",
        {
            "auditkit": lambda: permutation_importance(net, x, labels, metric="error_rate"),
            "scikit-learn": lambda: theirs(
                Fixed(), x.numpy(), labels.numpy(), scoring="accuracy", n_repeats=10, random_state=0
            ),
        },
        {"auditkit": "with intervals over rows and permutations"},
    )


def people(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, count)
    school = rng.integers(6, 18, count)
    return pd.DataFrame(
        {
            "age": age,
            "school": school,
            "hours": rng.normal(40, 10, count).round(),
            "years": np.minimum(age - school - 5, rng.integers(0, 40, count)).clip(0),
            "children": rng.poisson(1.2, count),
            "debts": (1000 * rng.lognormal(1, 1, count)).round(-2),
            "job": rng.choice(list("abcdef"), count),
            "sex": rng.choice(["f", "m"], count),
        }
    )


def turned() -> list[dict[str, str]]:
    known, own = people(4000, 0), people(400, 1)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 1))
    numbers = ["age", "school", "hours", "years", "children", "debts"]
    mean, spread = known[numbers].mean().to_numpy(), known[numbers].std().to_numpy()

    def scores(table: pd.DataFrame) -> Tensor:
        scaled = (table[numbers].to_numpy(dtype=float) - mean) / spread
        jobs = table.job.to_numpy(dtype=str)[:, None] == np.array(list("abcdef"))
        with torch.no_grad():
            return net(torch.tensor(np.concatenate([scaled, jobs], axis=1), dtype=torch.float32))[:, 0]

    limit = float(scores(known).quantile(0.9))
    told: dict[str, Any] = {
        "threshold": limit,
        "immutable": ["sex", "children"],
        "monotone": {"age": "up", "school": "up"},
    }
    refused = [own.iloc[[row]] for row in range(400) if scores(own.iloc[[row]])[0] < limit][:40]
    lines, counts = [], []
    for side, budget in (("few columns first", 20_000), ("donors alone", 0)):
        start = time.perf_counter()
        found = [counterfactual(scores, row, known, budget=budget, **told) for row in refused]
        taken = (time.perf_counter() - start) / len(refused)
        counts.append([len(one.changes) for one in found])
        sure = np.mean([one.fewest for one in found])
        note = (
            f"found for {sum(one.found for one in found)} of {len(refused)}, {np.mean(counts[-1]):.2f} columns each, "
            f"{np.mean([one.evaluations for one in found]):,.0f} rows scored, proven to be the fewest for {sure:.0%}"
        )
        lines.append(
            {"what": "Counterfactual", "side": side, "median": f"{1000 * taken:,.0f} ms", "ratio": "", "note": note}
        )
    same = np.mean(np.array(counts[0]) == np.array(counts[1]))
    lines[-1]["note"] += f"; as few as the other for {same:.0%}"
    return lines


def rows() -> list[dict[str, str]]:
    return [*lime(), *tracin(), *permuted(), *turned()]
