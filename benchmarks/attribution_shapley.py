"""Shapley values beside captum and shap: seconds for the same samples, and evaluations for the same error.

Seconds: a network of 64 numbers (7 for exact values) and two hidden layers of 64; whole calls, peers in one process, in
turn; medians of the processor's seconds on one thread, since the clock's say little on a machine that others use too.
captum is asked once with its defaults and once with as many perturbations in a batch as it can use. Ours are stopped by
the samples alone (tolerance 0).

Evaluations: the twelve columns of UCI Adult, numbers and ranks of categories, standardised; a network trained on them;
the log-odds of twelve people against the average person, who is the baseline of every tool. The error is the distance
to the exact values, divided by their length, on average over people and two seeds. A tool's evaluations are the fewest
on a grid from which on its error stays below 1 %.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.subject.builtin.adult import adult

TITLE = "Shapley values beside captum and shap"
ERROR = 0.01


def network(width: int, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))
    return nn.Sequential(*layers).eval()


def medians(works: list[Callable[[], Any]], runs: int) -> list[float]:
    """Median processor seconds of each, taken in turn."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, times in zip(works, taken, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    return [statistics.median(times) for times in taken]


def compared(what: str, ours: Callable, theirs: Callable, best: int, goal: str, runs: int) -> dict[str, str]:
    """One line of speeds; theirs is told how many perturbations to put in a batch."""
    ours(), theirs(best)
    mine, usual, quickest = medians([ours, lambda: theirs(1), lambda: theirs(best)], runs)
    return {
        "what": what,
        "ours": f"{1000 * mine:.1f} ms",
        "theirs": f"{1000 * usual:,.0f} ms, {1000 * quickest:,.0f} ms at best",
        "ratio": f"{usual / mine:,.1f}, {quickest / mine:,.1f} at best (goal {goal})",
    }


def sampled(n: int, runs: int) -> list[dict[str, str]]:
    """Seconds of KernelSHAP and of orders, for n rows."""
    from captum.attr import KernelShap, ShapleyValueSampling

    model, x = network(64), torch.randn(n, 64, generator=torch.Generator().manual_seed(1))
    usual: dict[str, Any] = {"target": 0, "tolerance": 0}
    return [
        compared(
            f"KernelSHAP, {n} rows x 64 numbers, 256 coalitions",
            lambda: explain(model, x, method="kernel_shap", samples=256, **usual),
            lambda batch: KernelShap(model).attribute(x, target=0, n_samples=256, perturbations_per_eval=batch),
            256,
            "200, 100",
            runs,
        ),
        compared(
            f"orders, {n} rows x 64 numbers, 26 of them",
            lambda: explain(model, x, method="permutation_shapley", samples=26, **usual),
            lambda batch: ShapleyValueSampling(model).attribute(
                x, target=0, n_samples=26, perturbations_per_eval=batch
            ),
            64,
            "5, 1",
            runs,
        ),
    ]


def exact(runs: int) -> list[dict[str, str]]:
    """Seconds of exact values."""
    from captum.attr import ShapleyValues

    model, x = network(7), torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    return [
        compared(
            "exact, 4 rows x 7 numbers",
            lambda: explain(model, x, method="exact_shapley", target=0),
            lambda batch: ShapleyValues(model).attribute(x, target=0, perturbations_per_eval=batch),
            7,
            "1000, -",
            runs,
        )
    ]


def people() -> tuple[nn.Module, Tensor, Tensor]:
    """(a trained network, twelve people, the average person) of UCI Adult."""
    splits, schema = adult()
    columns = {}
    for role in ("train", "test"):
        table = splits[role].table.select(schema.features).to_pandas()
        coded = [
            table[name] if table[name].dtype.kind in "if" else table[name].astype("category").cat.codes
            for name in table
        ]
        columns[role] = torch.from_numpy(np.stack([part.to_numpy(dtype=np.float32) for part in coded], axis=1))
    middle, scale = columns["train"].mean(dim=0), columns["train"].std(dim=0)
    x = (columns["train"] - middle) / scale
    y = torch.from_numpy((splits["train"].table.column("class").to_pandas() == ">50K").to_numpy(dtype=np.float32))
    model = network(x.shape[1], 1).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(1500):
        rows = torch.randint(len(x), (512,), generator=generator)
        loss = nn.functional.binary_cross_entropy_with_logits(model(x[rows])[:, 0], y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), ((columns["test"] - middle) / scale)[:12], torch.zeros(1, x.shape[1])


def evaluations() -> list[dict[str, str]]:
    import shap
    from captum.attr import KernelShap

    model, x, baseline = people()
    truth = explain(model, x, method="exact_shapley", baseline=baseline).by_part

    def score(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(np.asarray(z, dtype=np.float32)))[:, 0].double().numpy()

    def ours(method: str) -> Callable[[int, int], Tensor]:
        return lambda n, seed: (
            explain(model, x, method=method, baseline=baseline, samples=n, tolerance=0, seed=seed).by_part
        )

    def theirs(n: int, seed: int) -> Tensor:
        np.random.seed(seed)
        explainer = shap.KernelExplainer(score, baseline.numpy())
        return torch.from_numpy(explainer.shap_values(x.numpy(), nsamples=n, l1_reg=False, silent=True))

    def of_captum(n: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return KernelShap(model).attribute(x[:2], baselines=baseline, n_samples=n, perturbations_per_eval=n)

    def error(find: Callable[[int, int], Tensor], n: int) -> float:
        found = torch.stack([find(n, seed).double().detach() for seed in (0, 1)])
        known = truth[: found.shape[1]]
        return float(((found - known).norm(dim=2) / known.norm(dim=1)).mean())

    grid = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4094]
    reached = {}
    for name, find in (
        ("ours, Gaussian process", ours("gaussian_shapley")),
        ("ours, KernelSHAP", ours("kernel_shap")),
        ("shap KernelExplainer", theirs),
    ):
        errors = {n: error(find, n) for n in grid}
        reached[name] = min(n for n in grid if all(errors[m] <= ERROR for m in grid if m >= n)), errors[512]
    errors = {n: error(of_captum, n) for n in (512, 8192)}
    scatter = statistics.mean(e * n**0.5 for n, e in errors.items())
    reached["captum KernelShap (its error falls with the root of the samples: from 8,192)"] = (
        round((scatter / ERROR) ** 2, -3),
        errors[512],
    )
    first = reached["ours, Gaussian process"][0]
    return [
        {
            "what": f"{name}: evaluations a person to {ERROR:.0%}",
            "ours": f"{int(n):,}" if name.startswith("ours") else "",
            "theirs": "" if name.startswith("ours") else f"{int(n):,}",
            "ratio": f"{n / first:.1f} times those of the Gaussian process; error at 512: {at:.1%}",
        }
        for name, (n, at) in reached.items()
    ]


def rows(runs: int = 3) -> list[dict[str, str]]:
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*sampled(16, runs), *sampled(64, runs), *exact(2), *evaluations()]
