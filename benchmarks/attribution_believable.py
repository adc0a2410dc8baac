"""What the quorum says of methods whose worth is known: small networks that read digits, trained with several seeds.

Likeness is Spearman's correlation with the attributions of networks with random weights; on magnitudes, which share
|x - b|, it would fail the sound methods beside the others. The gain is insertion less deletion over that of a random
order and of the input's magnitude. Means over networks ± one standard deviation; verdicts are counted.
"""

from __future__ import annotations

import statistics
from collections import Counter

import torch
from torch import Tensor, nn

from auditkit.attribution import Evaluation, evaluate, explain
from auditkit.attribution.evaluation.agreement import spearman
from auditkit.attribution.evaluation.randomisation import reinitialised

TITLE = "Which attributions are believable"
SEEDS = 3
METHODS = (
    "integrated_gradients",
    "deep_lift",
    "gradient_x_input",
    "occlusion",
    "saliency",
    "guided_backprop",
    "deconvolution",
)


def network(seed: int) -> tuple[nn.Module, Tensor]:
    """A trained network, and 48 digits it has not seen."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(8):
        for index in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[index]), y[index]).backward()
            optimizer.step()
    return net.eval(), x[1400:1448]


def on_magnitudes(net: nn.Module, x: Tensor, method: str) -> float:
    """The likeness that magnitudes would show."""
    target = net(x).argmax(dim=1)
    pair = [
        explain(part, x, method=method, target=target).by_part.abs().numpy() for part in (net, reinitialised(net, 0))
    ]
    return float(spearman(pair[0], pair[1]).mean())


def rows() -> list[dict[str, str]]:
    """One line per method."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = [network(seed) for seed in range(SEEDS)]
        return [_line(method, trained) for method in METHODS]
    finally:
        torch.set_num_threads(threads)


def _line(method: str, trained: list[tuple[nn.Module, Tensor]]) -> dict[str, str]:
    judged = [evaluate(explain(net, x, method=method), net, x) for net, x in trained]
    verdicts = Counter(part.verdict for part in judged)
    return {
        "method": judged[0].title,
        "likeness, signed": _spread([_figure(part, "randomisation", "attribution") for part in judged]),
        "on magnitudes": _spread([on_magnitudes(net, x, method) for net, x in trained]),
        "gain over a random order": _spread([_figure(part, "gain", "random attribution") for part in judged]),
        "over input magnitude": _spread([_figure(part, "gain", "input magnitude") for part in judged]),
        "largest change": _spread([_figure(part, "sensitivity", "attribution") for part in judged]),
        "rows forward per evaluated row": f"{statistics.mean(part.forwards / part.rows for part in judged):.0f}",
        "verdict": ", ".join(f"{word} ({count})" for word, count in verdicts.items()),
    }


def _figure(judged: Evaluation, metric: str, of: str) -> float:
    (found,) = [part.estimate for part in judged.measured if (part.metric, part.of) == (metric, of)]
    assert found is not None
    return found.value


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
