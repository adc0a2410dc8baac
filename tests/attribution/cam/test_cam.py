"""Class activation maps against closed forms, captum and the papers' own loops; nothing is left on the model."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain, preflight
from auditkit.attribution.cam.grad_cam_plus_plus import weighted
from auditkit.attribution.cam.layer import shown, shown_with_slopes
from auditkit.attribution.cam.score_cam import from_0_to_1
from auditkit.attribution.registry import METHODS
from auditkit.engine.plain import PlainModel
from auditkit.engine.rows import Rows, Scorer
from auditkit.engine.space import InputSpace
from auditkit.errors import InputError

CAMS = ("grad_cam", "grad_cam_plus_plus", "score_cam")
OURS = CAMS[1:]


def network(inplace: bool = False) -> nn.Sequential:
    """Convolution, ReLU, convolution, ReLU, global average pooling, linear."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace),
        nn.Conv2d(4, 5, 3, stride=2, padding=1),
        nn.ReLU(inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(5, 3),
    ).double()


def pictures(n: int = 4, side: int = 8) -> Tensor:
    return torch.randn(n, 2, side, side, generator=torch.Generator().manual_seed(1)).double()


def seen(net: nn.Module, x: Tensor, layer: str, target: int) -> tuple[Tensor, Tensor]:
    model = PlainModel.of(net, (x,))
    with model.evaluating():
        engine = Scorer(model, InputSpace.trace(model, (x,)), 64)
        contrast = torch.zeros(len(x), 3).double()
        contrast[:, target] = 1
        return shown_with_slopes(engine, model.layer(layer), Rows((x,), contrast))


def up(maps: Tensor, side: int = 8) -> Tensor:
    return nn.functional.interpolate(maps, (side, side), mode="bilinear")


def test_behind_global_average_pooling_grad_cam_is_the_class_activation_map_over_its_places():
    net, x = network(), pictures()
    maps, slopes = seen(net, x, "3", target=1)
    with torch.no_grad():
        cam = torch.einsum("nkhw,k->nhw", net[:4](x), net[-1].weight[1])
    assert torch.allclose((slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1), cam / 16, atol=1e-12)


def test_grad_cam_of_explain_is_captums_and_the_class_activation_map():
    """Where nothing is cut off by the ReLU behind it, the convolution's own output is what is pooled."""
    from captum.attr import LayerAttribution, LayerGradCam

    net, x = network(), pictures()
    with torch.no_grad():
        net[2].bias += 10
    found = explain(net, x, method="grad_cam", target=1).values
    net.eval()
    with torch.no_grad():
        cam = torch.einsum("nkhw,k->nhw", net[:3](x), net[-1].weight[1])[:, None] / 16
    assert torch.allclose(found.sum(dim=1, keepdim=True), up(cam.relu()), atol=1e-9)
    theirs = LayerGradCam(net, net[2]).attribute(x, target=1, relu_attributions=True).detach()
    assert torch.allclose(found.sum(dim=1, keepdim=True), LayerAttribution.interpolate(theirs, (8, 8), "bilinear"))


class Reader(nn.Module):
    """A convolution whose columns a recurrent cell or attention reads from left to right."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(2, 3, 3, padding=1)
        self.body: nn.Module = nn.TransformerEncoderLayer(24, 2, 16, batch_first=True)
        if kind == "lstm":
            self.body = nn.LSTM(24, 24, batch_first=True, dropout=0.0)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        states = self.body(torch.tanh(self.convolution(x)).flatten(1, 2).transpose(1, 2))
        return self.head((states[0] if isinstance(states, tuple) else states)[:, -1])


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_grad_cam_agrees_with_captum_through_an_lstm_and_a_transformer(kind):
    from captum.attr import LayerAttribution, LayerGradCam

    net, x = Reader(kind).eval(), pictures().float()
    found = explain(net, x, method="grad_cam", target=2).values.sum(dim=1, keepdim=True)
    theirs = LayerGradCam(net, net.convolution).attribute(x, target=2, relu_attributions=True).detach()
    theirs = LayerAttribution.interpolate(theirs, (8, 8), "bilinear")
    assert (found - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_grad_cam_plus_plus_behind_global_average_pooling():
    """g_k = w_k / m at every one of m places, so that w_k = m max(0, g_k) / (2 + g_k Σ A_k)."""
    net, x = network(), pictures()
    found = explain(net, x, method="grad_cam_plus_plus", target=1, layer="3").values
    with torch.no_grad():
        maps, slopes = net[:4](x), net[-1].weight[1] / 16
    weights = 16 * slopes.relu() / (2 + slopes * maps.sum(dim=(2, 3)))
    expected = up((weights[:, :, None, None] * maps).sum(dim=1, keepdim=True).relu())
    assert found.shape == x.shape
    assert torch.allclose(found.sum(dim=1, keepdim=True), expected, atol=1e-9)


def test_grad_cam_plus_plus_weighs_places_by_their_derivatives_of_higher_order():
    """Of y = exp(score), whose derivatives to places are exp(score) g^k where the score is linear."""
    torch.manual_seed(0)
    maps, slopes = torch.rand(3, 4, 2, 3).double(), torch.randn(3, 4, 2, 3).double()
    slopes[0, 0, 0, 0] = 0
    scores = (maps * slopes).sum(dim=(1, 2, 3)).exp()[:, None, None, None]
    first, second, third = (scores * slopes**power for power in (1, 2, 3))
    alpha = (second / (2 * second + maps.sum(dim=(2, 3), keepdim=True) * third)).nan_to_num(0)
    weights = (alpha * (first / scores).relu()).sum(dim=(2, 3), keepdim=True)
    assert torch.allclose(weighted(maps, slopes), (weights * maps).sum(dim=1).relu(), atol=1e-12)
    assert weighted(maps, torch.zeros_like(slopes)).abs().max() == 0


def by_the_paper(net: nn.Module, x: Tensor, base: Tensor, layer: int, target: int) -> Tensor:
    """Score-CAM as a loop over rows and channels; [n, 1, H, W]."""
    found = []
    for row in x:
        maps = net[: layer + 1](row[None])[0]
        scores, kept = [], []
        for channel in maps:
            mask = up(channel[None, None])[0, 0]
            if mask.max() == mask.min():
                continue
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            kept.append(channel)
            scores.append(net((base + mask * (row - base))[None])[0, target])
        weights = torch.softmax(torch.stack(scores), dim=0) if scores else torch.zeros(0)
        found.append(sum((w * part for w, part in zip(weights, kept, strict=True)), torch.zeros_like(maps[0])).relu())
    return up(torch.stack(found)[:, None])


@pytest.mark.parametrize("base", [0.0, 0.3])
def test_score_cam_is_the_papers_loop(base):
    net, x = network().eval(), pictures()
    with torch.no_grad():
        net[2].bias[0] -= 100  # a channel that is 0 everywhere behind its ReLU
        expected = by_the_paper(net, x, torch.full_like(x[0], base), 3, 2)
    for size in (None, 1, 7):
        found = explain(net, x, method="score_cam", target=2, layer="3", baseline=base, batch_size=size)
        assert torch.allclose(found.values.sum(dim=1, keepdim=True), expected, atol=1e-9)
        assert found.evaluations.tolist() == [6] * 4


def test_a_layer_that_shows_the_same_everywhere_gives_an_empty_score_cam():
    net, x = network(), pictures()
    with torch.no_grad():
        net[2].weight.zero_()
    assert explain(net, x, method="score_cam").values.abs().max() == 0
    assert from_0_to_1(torch.full((1, 1, 2, 2), 7.0)).abs().max() == 0


def test_the_planted_place_is_found():
    """The score is the mean of what is bright; one corner of each picture is."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, :2, :2], x[1, 0, 6:, 6:] = 5.0, 5.0
    for method in CAMS:
        found = explain(net, x, method=method, target=0).values[:, 0]
        assert (found[0, :2, :2].sum() / found[0].sum()).item() > 0.99, method
        assert (found[1, 6:, 6:].sum() / found[1].sum()).item() > 0.99, method


def test_activations_in_place_change_nothing():
    x = pictures()
    for method in OURS:
        for layer in (None, "0", "2"):
            one, two = (explain(network(inplace), x, method=method, layer=layer).values for inplace in (False, True))
            assert torch.equal(one, two)
    maps, _ = seen(network(True), x, "2", 0)
    assert (maps < 0).any()  # the convolution's own output, before the ReLU that overwrites it


@pytest.mark.parametrize("method", OURS)
def test_batches_rows_and_repetition_change_nothing(method):
    net, x = network(), pictures()
    whole = explain(net, x, method=method)
    assert torch.equal(explain(net, x, method=method).values, whole.values)
    for size in (1, 3):
        assert torch.allclose(explain(net, x, method=method, batch_size=size).values, whole.values, atol=1e-12)
    assert torch.allclose(explain(net, x[2:3], method=method).values[0], whole.values[2], atol=1e-12)
    assert not whole.values.requires_grad
    assert (whole.values >= 0).all()
    assert whole.completeness_gap.isnan().all()


def bare(net: nn.Module) -> bool:
    return not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in net.modules())


class Breaks(nn.Module):
    """Gives up in the middle of a later pass."""

    def __init__(self, passes: int) -> None:
        super().__init__()
        self.left = passes

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("gave up")
        return x


@pytest.mark.parametrize("method", OURS)
def test_the_model_is_left_as_it_was_found_also_after_an_exception(method):
    net, x = network().train(), pictures()
    state = torch.random.get_rng_state()
    explain(net, x, method=method)
    assert bare(net)
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    broken = 0
    for passes in range(4, 40):
        net.insert(4, Breaks(passes))
        try:
            explain(net, x, method=method, batch_size=2)
        except RuntimeError as problem:
            broken += str(problem) == "gave up"
        assert bare(net)
        assert net.training
        del net[4]
    assert broken > 5


def test_score_cam_needs_no_gradients():
    class Answers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    x = pictures()
    assert torch.allclose(
        explain(Answers(), x, method="score_cam").values, explain(network(), x, method="score_cam").values
    )
    with pytest.raises(InputError, match="no gradient leads from the score back to the layer"):
        explain(Answers(), x, method="grad_cam_plus_plus")


def test_what_has_no_maps_is_refused_with_a_reason():
    mlp, rows = nn.Linear(4, 2), torch.randn(2, 4)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double()
    for method in OURS:
        assert preflight(mlp, rows)[method].reason == f"{METHODS[method].title} is for images and series"
        assert "no 2-D convolution" in preflight(dense, pictures())[method].reason
        assert preflight(network(), pictures(side=4))[method].status == "degraded"
        assert preflight(network(), pictures())[method].status == "valid"
    assert preflight(lambda x: x.mean(dim=(2, 3)), pictures())["score_cam"].reason == "a callable has no layers"


@pytest.mark.parametrize(
    ("layer", "says"),
    [("7", r"the layer gives \[4, 3\] for 4 rows"), ("5", "gives"), ("conv", "the model has no layer 'conv'")],
)
def test_a_layer_without_maps_is_said(layer, says):
    net = network()
    for method in OURS:
        with pytest.raises(InputError, match=says):
            explain(net, pictures(), method=method, layer=layer)
        assert bare(net)


def test_a_layer_that_runs_twice_has_no_one_map():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(2, 2, 3, padding=1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(self.convolution(x).relu()).mean(dim=(2, 3))

    with pytest.raises(InputError, match="runs 2 times"):
        explain(Twice(), pictures(), method="grad_cam_plus_plus")


def test_what_is_shown_is_the_layers_own_output():
    net, x = network().eval(), pictures()
    model = PlainModel.of(net, (x,))
    engine = Scorer(model, InputSpace.trace(model, (x,)), 64)
    rows = Rows((x,), torch.ones(4, 3).double())
    assert np.array_equal(shown(engine, net[2], rows), net[:3](x).detach())


class Steps(nn.Module):
    """1-D convolutions over the steps of a series (or, by mistake, over its channels; or backwards), and their mean."""

    def __init__(self, turned: str = "time") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.turned = turned
        width = 12 if turned == "channels" else 5
        self.body = nn.Sequential(
            nn.Conv1d(width, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 6, 3, 2, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x if self.turned == "channels" else x.transpose(1, 2)
        return self.head(self.body(rows.flip(2) if self.turned == "backwards" else rows).mean(dim=2))


def series(n: int = 4) -> Tensor:
    return torch.randn(n, 12, 5, generator=torch.Generator().manual_seed(1)).double()


def test_series_are_mapped_along_time():
    net, x = Steps().double(), series()
    found = explain(net, x, method="grad_cam_plus_plus", target=1, layer="body.3").values
    with torch.no_grad():
        maps, slopes = net.body(x.transpose(1, 2)), net.head.weight[1] / 6
    weights = 6 * slopes.relu() / (2 + slopes * maps.sum(dim=2))
    coarse = (weights[:, :, None] * maps).sum(dim=1, keepdim=True).relu()
    expected = nn.functional.interpolate(coarse, 12, mode="linear")[:, 0]
    assert found.shape == x.shape
    assert torch.allclose(found.sum(dim=2), expected, atol=1e-9)
    assert torch.allclose(found[:, :, 0], found[:, :, 4])
    for method in OURS:
        assert preflight(net, x)[method].status == "valid"
        assert bare(net)


def test_score_cam_of_series_is_the_papers_loop():
    net, x = Steps().double().eval(), series(2)
    found = explain(net, x, method="score_cam", target=0).values.sum(dim=2)
    with torch.no_grad():
        for row, values in zip(x, found, strict=True):
            maps = net.body[:3](row.T[None])[0]
            masks = nn.functional.interpolate(maps[None], 12, mode="linear")[0]
            low, high = masks.amin(dim=1, keepdim=True), masks.amax(dim=1, keepdim=True)
            scores = torch.stack([net((row * mask[:, None])[None])[0, 0] for mask in (masks - low) / (high - low)])
            coarse = (torch.softmax(scores, dim=0) @ maps).relu()
            assert torch.allclose(values, nn.functional.interpolate(coarse[None, None], 12, mode="linear")[0, 0])


@pytest.mark.parametrize("turned", ["channels", "backwards"])
def test_maps_that_do_not_run_along_time_are_refused(turned):
    net, x = Steps(turned).double(), series()
    for method in OURS:
        assert preflight(net, x)[method].reason == "the model has no 1-D convolution along time"
    assert bare(net)


def test_a_named_layer_of_a_series_has_to_run_along_time():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Steps(), Steps("backwards")

        def forward(self, x: Tensor) -> Tensor:
            return self.other(x) + self.one(x)

    net, x = Both().double(), series()
    assert explain(net, x, method="grad_cam_plus_plus").values.sum() > 0
    with pytest.raises(InputError, match=r"'other.body.2' do not follow each other in time"):
        explain(net, x, method="grad_cam_plus_plus", layer="other.body.2")
