"""What the tests of evaluation share: plain rows on an engine, and a network that reads digits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Baseline, Explicands
from auditkit.attribution.partition import Partition
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace


@pytest.fixture(scope="session")
def asked() -> Callable[..., tuple[Scorer, Explicands]]:
    """An engine and explicands of rows [n, parts] of one output, compared with zeros; every number a part."""

    def made(function, x: Tensor, size: int = 64) -> tuple[Scorer, Explicands]:
        model = PlainModel.of(function, (x,))
        zero = torch.zeros_like(x[:1])
        with torch.no_grad():
            scores, at_zero = (model.logits((part,))[:, 0].double() for part in (x, zero))
        return Scorer(model, InputSpace.trace(model, (x,)), size), Explicands(
            rows=torch.arange(len(x)).numpy(),
            given=Rows((x,), torch.ones(len(x), 1, dtype=x.dtype)),
            predictions=torch.zeros(len(x)).long().numpy(),
            scores=scores,
            baseline=Baseline((zero,), "zero", 0),
            baseline_scores=at_zero.expand(len(x)),
            partition=Partition(tuple(map(str, range(x.shape[1]))), (torch.arange(x.shape[1]),)),
        )

    return made


@pytest.fixture(scope="session")
def digits() -> tuple[nn.Module, Tensor]:
    """A small convolutional network that reads nine of ten digits, and digits it was not trained on."""
    from sklearn.datasets import load_digits

    given = load_digits()
    x = torch.tensor(given.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(given.target)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(384, 48),
            nn.ReLU(),
            nn.Linear(48, 10),
        )
        optimiser = torch.optim.Adam(network.parameters(), 4e-3)
        for _ in range(4):
            for index in torch.randperm(1400).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(x[index]), y[index]).backward()
                optimiser.step()
    network.eval()
    assert (network(x[1400:]).argmax(dim=1) == y[1400:]).double().mean() > 0.85
    return network, x[1400:1432]
