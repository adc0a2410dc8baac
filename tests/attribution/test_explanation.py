"""explain() on plain modules and callables: closed forms in float64, the proof each attribution carries, refusals."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain, methods, preflight, rows_of_tensors
from auditkit.errors import InputError

W = torch.tensor([2.0, -3.0, 0.5]).double()
A = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]]).double()
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], list[float], dict[str, list[float]]]] = {
    "linear": (lambda x: x @ W + 7, [1, 2, 3], {key: [2, -6, 1.5] for key in ("integrated_gradients", "occlusion")}),
    "maximum": (lambda x: x.amax(dim=1), [3, 1], {"integrated_gradients": [3, 0], "occlusion": [2, 0]}),
    "product": (lambda x: x.prod(dim=1), [2, 3, 4], {"integrated_gradients": [8, 8, 8], "occlusion": [24, 24, 24]}),
    "quadratic": (lambda x: ((x @ A) * x).sum(dim=1), [1, 2, 3], {"integrated_gradients": [4, 8, 3]}),
}


@pytest.mark.parametrize("name", FORMS)
def test_closed_forms_to_a_millionth(name):
    function, point, expected = FORMS[name]
    x = torch.tensor([point], dtype=torch.float64)
    for method, values in expected.items():
        found = explain(function, x, method=method, tolerance=1e-9)
        assert found.values[0].tolist() == pytest.approx(values, abs=1e-6), method
        assert found.dtype == "float64"


def network(width: int = 6, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, outputs))


def test_what_an_attribution_carries_is_true():
    net, x = network(), torch.randn(7, 6)
    found = explain(net, x, target=1, tolerance=1e-3)
    net.eval()
    at_row, at_zero = net(x)[:, 1].detach().double(), net(torch.zeros(1, 6))[0, 1].detach().double()
    assert found.scores == pytest.approx(at_row.numpy(), abs=1e-6)
    assert found.baseline_scores == pytest.approx(at_zero.item(), abs=1e-6)
    missing = found.values.double().sum(dim=1) - (at_row - at_zero)
    assert found.completeness_gap.numpy() == pytest.approx(missing.numpy(), abs=1e-5)
    assert (found.relative_gap < 1e-3).all()
    assert found.batch_error < 1e-4
    assert not found.values.requires_grad
    assert found.forwards >= found.evaluations.sum()
    assert (found.target, found.baseline) == ("output 1", "zero everywhere")


def test_the_model_is_left_as_it_was_found():
    net, x = network().train(), torch.randn(4, 6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = explain(net, x), explain(net, x)
    assert torch.equal(first.values, second.values)
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(part._forward_hooks or part._backward_hooks for part in net.modules())


def test_rows_are_explained_alike_alone_and_in_company():
    net, x = network().double(), torch.randn(9, 6).double()
    for method in ("integrated_gradients", "gradient_x_input", "occlusion"):
        together = explain(net, x, method=method).values
        backwards = explain(net, x.flip(0), method=method).values.flip(0)
        alone = torch.cat([explain(net, x[row : row + 1], method=method).values for row in range(9)])
        assert torch.allclose(together, alone, atol=1e-12)
        assert torch.allclose(together, backwards, atol=1e-12)


def test_rows_that_influence_each_other_are_sent_alone():
    net = network().double()
    x = torch.randn(5, 6).double()
    coupled = explain(lambda rows: net.eval()(rows) - net(rows).mean(dim=0, keepdim=True), x, target=0)
    assert coupled.batch_error > 0.1
    assert torch.allclose(coupled.values, torch.zeros_like(x), atol=1e-12)


def test_chunks_and_batches_change_nothing(monkeypatch):
    net, x = network().double(), torch.randn(40, 6).double()
    whole = explain(net, x)
    monkeypatch.setattr(rows_of_tensors, "CHUNK", {"cpu": 60})
    assert torch.allclose(explain(net, x, batch_size=3).values, whole.values, atol=1e-12)


def test_a_batch_that_does_not_fit_is_halved():
    net, x, sizes = network().double(), torch.randn(12, 6).double(), []

    def small(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        if len(rows) > 5:
            raise torch.OutOfMemoryError("no room")
        return net.eval()(rows)

    found = explain(small, x, method="occlusion", batch_size=64)
    assert torch.allclose(found.values, explain(net, x, method="occlusion").values, atol=1e-12)
    assert max(sizes) > 5


@pytest.mark.parametrize(
    ("target", "weights"),
    [
        (2, [[0, 0, 1]] * 4),
        ((0, 2), [[1, 0, -1]] * 4),
        (torch.tensor([0, 1, 2, 0]), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        (torch.tensor([0.5, 0.5, -1.0]), [[0.5, 0.5, -1]] * 4),
        (-1, [[0, 0, 1]] * 4),
    ],
)
def test_targets(target, weights):
    net, x = network().double().eval(), torch.randn(4, 6).double()
    found = explain(net, x, target=target)
    assert found.scores.numpy() == pytest.approx((net(x) * torch.tensor(weights)).sum(dim=1).detach().numpy())


def test_the_predicted_class_is_fixed_before_anything_is_perturbed():
    net, x = network().double().eval(), torch.randn(30, 6).double()
    assert torch.equal(explain(net, x).values, explain(net, x, target=net(x).argmax(dim=1)).values)


def test_baselines_are_what_they_are_called():
    linear = nn.Linear(3, 1, bias=False).double()
    x, reference = torch.randn(5, 3).double(), torch.randn(200, 3).double()
    weights = linear.weight.detach()[0]
    mean, median = reference.mean(dim=0), reference.quantile(0.5, dim=0)
    for baseline, point in (("zero", 0.0), ("mean", mean), ("median", median), (2.0, 2.0), (x.flip(0), x.flip(0))):
        found = explain(linear, x, baseline=baseline, reference=reference)
        assert torch.allclose(found.values, weights * (x - point), atol=1e-9), baseline
    digests = {explain(linear, x, baseline=kind, reference=reference).baseline_digest for kind in ("zero", "mean")}
    assert len(digests) == 2
    for kind in ("uniform", "sample"):
        once, again, other = (
            explain(linear, x, baseline=kind, reference=reference, seed=seed).values for seed in (0, 0, 1)
        )
        assert torch.equal(once, again)
        assert not torch.equal(once, other)


def test_a_blurred_picture_keeps_its_mean_brightness():
    total = explain(lambda x: x.sum(dim=(1, 2, 3)), torch.rand(2, 1, 9, 9).double(), baseline="blurred", target=0)
    assert (total.scores - total.baseline_scores).abs().max() < 0.1 * total.scores.min()


class Reader(nn.Module):
    def __init__(self, fill: int | None = None) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 5, padding_idx=fill)
        self.head = nn.Linear(5, 2)

    def forward(self, ids: Tensor, number: Tensor) -> Tensor:
        return self.head(self.words(ids).sum(dim=1) + number)


def test_ids_are_explained_where_their_embeddings_are():
    torch.manual_seed(1)
    reader, ids, number = Reader(fill=0), torch.randint(1, 20, (3, 4)), torch.randn(3, 5)
    words, shift = explain(reader, (ids, number), target=1).values
    expected = reader.words(ids).detach() @ reader.head.weight[1].detach()
    assert (words.shape, shift.shape) == (ids.shape, number.shape)
    assert torch.allclose(words, expected, atol=1e-5)
    assert torch.allclose(shift, number * reader.head.weight[1].detach(), atol=1e-5)
    assert explain(Reader(), (ids, number)).baseline == "the average of the rows themselves"
    by_id = explain(reader, (ids, number), target=1, baseline=(torch.full((1, 4), 3), torch.zeros(1, 5)))
    assert torch.allclose(by_id.values[0], expected - reader.words.weight[3] @ reader.head.weight[1], atol=1e-5)


def test_groups_are_attributed_to_together():
    net, x = network().double(), torch.randn(5, 6).double()
    groups = torch.tensor([7, 7, 3, 3, 3, 9])
    each, together = explain(net, x).by_part, explain(net, x, groups=groups)
    assert together.by_part.numpy() == pytest.approx(
        torch.stack([each[:, 2:5].sum(1), each[:, :2].sum(1), each[:, 5]], dim=1).numpy()
    )
    assert torch.equal(together.values[:, 0], together.values[:, 1])
    hidden = explain(net, x, method="occlusion", groups=groups, target=0)
    without = x.clone()
    without[:, 2:5] = 0
    assert torch.allclose(hidden.values[:, 3], (net.eval()(x) - net(without))[:, 0], atol=1e-9)


def test_an_answer_without_a_graph_is_explained_by_perturbing_alone():
    def score(rows: Tensor) -> Tensor:
        return torch.from_numpy(rows.detach().numpy() @ np.array([1.0, 2.0]))

    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    assert explain(score, x, method="occlusion").values.tolist() == [[3.0, 8.0]]
    assert preflight(score, x)["integrated_gradients"].status == "refused"
    with pytest.raises(InputError, match="Integrated Gradients is refused for this model: no gradient leads"):
        explain(score, x)


def test_every_method_is_asked_before():
    found = preflight(network(), torch.randn(3, 6))
    assert list(found) == methods()
    assert all(validity.reason for validity in found.values() if validity.status != "valid")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "integrated_gradient"}, "there is no 'integrated_gradient'; did you mean 'integrated_gradients'"),
        ({"target": 3}, "there is no output 3; the model gives 3"),
        ({"target": torch.tensor([0, 1])}, r"\[2\] numbers of outputs for 4 rows"),
        ({"baseline": "average"}, "baseline: there is no 'average'"),
        ({"baseline": torch.zeros(1, 5)}, r"shaped as one row of the inputs \(\[1, 6\]\)"),
        ({"groups": torch.zeros(5)}, "groups: give an integer tensor"),
        ({"steps": 50}, "there is no setting 'steps'"),
    ],
)
def test_what_cannot_be_explained_is_said(changes, says):
    with pytest.raises(InputError, match=says):
        explain(network(), torch.randn(4, 6), **changes)


def test_rows_that_cannot_be_explained_are_refused():
    x = torch.randn(4, 6)
    x[2, 1] = torch.nan
    with pytest.raises(InputError, match="missing or infinite"):
        explain(network(), x)
    with pytest.raises(InputError, match="no rows to explain"):
        explain(network(), x[:0])
    with pytest.raises(InputError, match=r"outputs of shape \(1, 6, 1\)"):
        explain(lambda rows: rows[..., None], x.nan_to_num())
    with pytest.raises(InputError, match="gives dict, and no tensor"):
        explain(lambda rows: {"logits": rows}, x.nan_to_num())


def test_the_figure_of_a_row_shows_its_values():
    linear = nn.Linear(30, 1).double()
    x = torch.randn(3, 30).double()
    found = explain(linear, x)
    (bars,) = found.figure(1, names=[f"<i>{place}</i>" for place in range(30)]).data
    order = found.by_part[1].abs().argsort(descending=True)
    assert bars.x[:16] == pytest.approx(found.by_part[1][order[:16]].tolist())
    assert bars.x[16] == pytest.approx(found.by_part[1][order[16:]].sum().item())
    assert bars.customdata[0] == f"&lt;i&gt;{int(order[0])}&lt;/i&gt;"
    pictures = torch.rand(2, 3, 5, 7).double()
    seen = explain(lambda rows: rows.square().sum(dim=(1, 2, 3)), pictures)
    heat, picture = seen.figure(1, inputs=pictures).data
    assert np.asarray(heat.z) == pytest.approx(pictures[1].square().sum(dim=0).numpy(), rel=0.01)
    assert np.asarray(picture.z).shape == (5, 7, 3)
    (series,) = explain(lambda rows: rows.sum(dim=(1, 2)), torch.randn(2, 6, 4)).figure().data
    assert np.asarray(series.z).shape == (4, 6)


def test_a_model_that_answers_by_chance_is_refused():
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.dropout(x, 0.5))  # left on in eval mode too

    x = torch.randn(5, 6)
    for rows in (x, x[:1]):
        for method in ("integrated_gradients", "occlusion"):
            with pytest.raises(InputError, match="from one call to the next"):
                explain(Dropping(), rows, method=method)
    training = network().train()
    with pytest.raises(InputError, match="from one call to the next"):
        explain(lambda rows: nn.functional.dropout(training(rows), 0.5), x, method="occlusion", target=0)


def test_an_exported_program_is_explained_as_its_module():
    net, x = network().eval(), torch.randn(5, 6)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)).module()
    torch.testing.assert_close(explain(program, x).values, explain(net, x).values)


def test_what_a_row_is_compared_with_is_told():
    net, x = network(), torch.randn(5, 6)
    assert explain(net, x, method="expected_gradients", reference=x).baseline == "the average score of 5 reference rows"
    assert explain(net, x, method="integrated_gradients", reference=x).baseline == "zero everywhere"
    plain = nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False))
    assert "the score itself" in explain(plain, x, method="lrp", reference=x).baseline


def test_grad_cam_reads_the_layer_that_is_named():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64, 3)),
    )
    x = torch.randn(3, 1, 8, 8)
    last, first = (explain(net, x, method="grad_cam", layer=layer).values for layer in ("3", "0"))
    torch.testing.assert_close(last, explain(net, x, method="grad_cam").values)
    assert not torch.allclose(last, first)
    with pytest.raises(InputError, match="gives no maps"):
        explain(net, x, method="grad_cam", layer="6")
