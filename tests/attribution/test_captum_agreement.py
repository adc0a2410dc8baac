"""The same game played by captum: float32, the largest difference at most 1e-5 of the largest attribution."""

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain

STEPS = 8


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(3, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(dim=1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)),
    )


MODELS = {"mlp": (mlp, (12,)), "cnn": (cnn, (2, 8, 8)), "lstm": (Recurrent, (7, 3)), "transformer": (Attending, (7, 3))}


@pytest.fixture(scope="module", params=MODELS)
def case(request) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """(model, rows, one baseline, a target for each row)."""
    build, shape = MODELS[request.param]
    torch.manual_seed(0)
    return build().eval(), torch.randn(6, *shape), 0.3 * torch.randn(1, *shape), torch.tensor([0, 3, 1, 2, 0, 1])


def ours(case, method: str, **settings) -> Tensor:
    net, x, baseline, target = case
    return explain(net, x, method=method, baseline=settings.pop("baseline", baseline), target=target, **settings).values


def differ(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest attribution."""
    return float((found - expected.detach()).abs().max() / expected.abs().max())


def test_integrated_gradients(case):
    from captum.attr import IntegratedGradients

    net, x, baseline, target = case
    expected = IntegratedGradients(net).attribute(x, baseline, target=target, n_steps=STEPS)
    assert differ(ours(case, "integrated_gradients", tolerance=0.0, maximum_steps=STEPS), expected) <= 1e-5


def test_saliency(case):
    from captum.attr import Saliency

    net, x, _, target = case
    assert differ(ours(case, "saliency"), Saliency(net).attribute(x.clone(), target=target)) <= 1e-5


def test_gradient_x_input(case):
    from captum.attr import InputXGradient

    net, x, _, target = case
    expected = InputXGradient(net).attribute(x.clone(), target=target)
    assert differ(ours(case, "gradient_x_input", baseline="zero"), expected) <= 1e-5


def test_ablation_of_every_number(case):
    from captum.attr import FeatureAblation

    net, x, baseline, target = case
    expected = FeatureAblation(net).attribute(x, baseline, target=target, perturbations_per_eval=16)
    assert differ(ours(case, "occlusion"), expected) <= 1e-5


def test_ablation_of_groups(case):
    from captum.attr import FeatureAblation

    net, x, baseline, target = case
    groups = torch.arange(x[0].numel()).reshape(1, *x.shape[1:]) // 5
    expected = FeatureAblation(net).attribute(x, baseline, target=target, feature_mask=groups)
    assert differ(ours(case, "occlusion", groups=groups), expected) <= 1e-5


def test_occlusion_of_windows_that_do_not_overlap(case):
    from captum.attr import Occlusion

    net, x, baseline, target = case
    window = (2, *x.shape[2:]) if x.ndim == 2 else (x.shape[1], *[2] * (x.ndim - 2))
    if x.ndim == 3:  # a series: two steps of all channels
        window = (1, x.shape[2])
    shape = x.shape[1:]
    groups = torch.zeros(shape, dtype=torch.long)
    for axis, (side, length) in enumerate(zip(window, shape, strict=True)):
        place = torch.arange(length) // side
        groups = groups * 100 + place.reshape(*[-1 if at == axis else 1 for at in range(len(shape))])
    expected = Occlusion(net).attribute(x, window, strides=window, baselines=baseline.expand_as(x), target=target)
    assert differ(ours(case, "occlusion", groups=groups[None]), expected) <= 1e-5


def test_ids_agree_with_captums_layer_integrated_gradients():
    from captum.attr import LayerIntegratedGradients

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(30, 16, padding_idx=0)
            layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.head = nn.Linear(16, 3)
            with torch.no_grad():
                self.table.weight[0] = 0.5 * torch.randn(16)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.encoder(self.table(ids)).mean(dim=1))

    torch.manual_seed(0)
    net, ids = Words().eval(), torch.randint(1, 30, (5, 6))
    theirs = LayerIntegratedGradients(net, net.table).attribute(ids, torch.zeros_like(ids), target=1, n_steps=STEPS)
    found = explain(net, ids, target=1, tolerance=0.0, maximum_steps=STEPS)
    assert differ(found.values, theirs.sum(dim=-1)) <= 1e-5
