"""How fast attributions are: against captum at its defaults and at its best, and against the bare model.

Runs of all sides are interleaved in one process, on one thread, and medians of the processor's seconds are compared:
on a machine that others use too, the clock's say nothing. All play the same game: the same model, rows, baseline
and targets. captum takes 50 steps where it is not told; its best is the fastest of its settings (internal batch size,
perturbations per evaluation), with the fewest steps, found beforehand, that bring every row's completeness gap to 1 %.

The floor is the bare model in a loop over the very rows that the engine makes, made before the clock starts, in batches
as large as the engine's: what the engine costs on top is making rows, target, reduction and bookkeeping.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain
from auditkit.attribution.explicands import completeness_gap
from auditkit.engine.batch_size import rows_at_once
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Plan, Rows, Scorer
from auditkit.engine.space import InputSpace

TITLE = "Speed of attributions"
RUNS = 7


def mlp() -> tuple[nn.Module, Tensor]:
    """A table's network of 64 columns, trained for a moment on a rule with interactions, and 256 rows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    rule = torch.randn(64, 10)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(300):
        x = torch.randn(256, 64)
        label = (x @ rule + x[:, :10] * x[:, 10:20]).argmax(dim=1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), label).backward()
        optimizer.step()
    return net.eval(), torch.randn(256, 64)


def cnn() -> tuple[nn.Module, Tensor]:
    """A small network of pictures of 3 x 16 x 16, and 16 of them."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval(), torch.randn(
        16, 3, 16, 16
    )


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {"MLP, 64 columns": mlp, "small CNN": cnn}


def medians(sides: dict[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, float]:
    """Median seconds of each side, all taking turns, after one turn that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(runs + 1):
        for name, work in sides.items():
            start = time.process_time()
            work()
            if turn:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def against_captum(kind: str, method: str, rows: int | None = None) -> list[dict[str, str]]:
    """One method on one model. rows: how many are explained, all where None."""
    net, x = MODELS[kind]()
    x = x[:rows]
    with torch.no_grad():
        target = net(x).argmax(dim=1)
    ours, theirs = (_gradients if method == "integrated_gradients" else _ablation)(net, x, target)
    seconds = medians({"ours": ours} | theirs)
    best = min((name for name in theirs if name != "default"), key=seconds.__getitem__)
    title = f"{method.replace('_', ' ')}, {kind}, {len(x)} rows"
    return [
        {"what": title, "median": _shown(seconds["ours"]), "against": ""},
        *(
            {
                "what": f"{title}: captum, {name}",
                "median": _shown(seconds[name]),
                "against": f"ours is {seconds[name] / seconds['ours']:.1f} times as fast",
            }
            for name in ("default", best)
        ),
    ]


def _gradients(net: nn.Module, x: Tensor, target: Tensor) -> tuple[Callable, dict[str, Callable]]:
    from captum.attr import IntegratedGradients

    theirs, zeros = IntegratedGradients(net), torch.zeros_like(x[:1])

    def asked(**settings: Any) -> Callable:
        return lambda: theirs.attribute(x, zeros, target=target, **settings)

    def misses(steps: int) -> bool:
        found = theirs.attribute(x, zeros, target=target, n_steps=steps).double().flatten(1)
        with torch.no_grad():
            change = (net(x) - net(zeros)).gather(1, target[:, None])[:, 0].double()
        return bool((completeness_gap(found, change)[1] > 0.01).any())

    steps = next((steps for steps in (8, 12, 16, 24, 32, 50, 100, 200, 400) if not misses(steps)), 800)
    sizes = (None, 256, 1024, 4096)
    best = {f"{steps} steps, internal batch {size}": asked(n_steps=steps, internal_batch_size=size) for size in sizes}
    return lambda: explain(net, x, target=target), {"default": asked(), **best}


def _ablation(net: nn.Module, x: Tensor, target: Tensor) -> tuple[Callable, dict[str, Callable]]:
    from captum.attr import FeatureAblation

    theirs = FeatureAblation(net)
    groups = None
    if x.ndim == 4:  # cells of 2 x 2 pixels, all channels together
        place = torch.arange(x.shape[-1]) // 2
        groups = (place[:, None] * 100 + place[None]).expand(1, *x.shape[1:]).unique(return_inverse=True)[1]

    def asked(**settings: Any) -> Callable:
        return lambda: theirs.attribute(x, 0, target=target, feature_mask=groups, **settings)

    best = {f"{many} at once": asked(perturbations_per_eval=many) for many in (4, 16, 64)}
    return lambda: explain(net, x, target=target, method="occlusion", groups=groups), {"default": asked(), **best}


def above_the_floor(kind: str, backward: bool) -> dict[str, str]:
    """Rows through the engine, and the same rows through the bare model."""
    net, x = MODELS[kind]()
    model = PlainModel.of(net, (x,))
    many = 32 * len(x)
    with model.evaluating():
        engine = Scorer(model, InputSpace.trace(model, (x,)), rows_at_once(model, (x,)))
        given = Rows((x,), torch.nn.functional.one_hot(net(x).argmax(dim=1), 10).to(x.dtype))
        made = given.take(torch.arange(many) % len(x))
        plan = Plan(many, lambda index: Rows((made.points[0][index],), made.contrast[index]))

        def bare() -> None:
            for part, weight in zip(made.points[0].split(engine.size), made.contrast.split(engine.size), strict=True):
                if backward:
                    leaf = part.detach().requires_grad_(True)
                    torch.autograd.grad((net(leaf) * weight).sum(), leaf)
                else:
                    with torch.inference_mode():
                        (net(part) * weight).sum(dim=1)

        def through() -> None:
            if backward:
                for _ in engine.gradients(plan):
                    pass
            else:
                engine.scores(plan)

        seconds = medians({"engine": through, "bare": bare}, 4 * RUNS)
    what = "forward and backward" if backward else "forward"
    return {
        "what": f"{many:,} rows {what} through the engine, {kind}",
        "median": _shown(seconds["engine"]),
        "against": f"{seconds['engine'] / seconds['bare']:.2f} times the bare model's {_shown(seconds['bare'])}",
    }


def _shown(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def rows() -> list[dict[str, str]]:
    """All comparisons."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        compared = [
            *against_captum("MLP, 64 columns", "integrated_gradients"),
            *against_captum("small CNN", "integrated_gradients"),
            *against_captum("MLP, 64 columns", "occlusion", 8),
            *against_captum("MLP, 64 columns", "occlusion"),
            *against_captum("small CNN", "occlusion"),
        ]
        return compared + [above_the_floor(kind, backward) for kind in MODELS for backward in (False, True)]
    finally:
        torch.set_num_threads(threads)
