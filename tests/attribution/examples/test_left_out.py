"""Leaving a row out: the residuals of least squares, layers that really were fitted again, and planted wrong labels."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.attribution import leave_one_out
from auditkit.errors import InputError


def rows(count: int, seed: int, width: int = 4) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def least_squares(x: Tensor, y: Tensor) -> nn.Linear:
    """A layer with the weights of ordinary least squares."""
    wide = torch.cat([x, torch.ones(len(x), 1).double()], dim=1)
    found = torch.linalg.lstsq(wide, y).solution.T
    layer = nn.Linear(x.shape[1], y.shape[1]).double().requires_grad_(False)
    layer.weight.copy_(found[:, :-1])
    layer.bias.copy_(found[:, -1])
    return layer


def settled(x: Tensor, y: Tensor, classes: int, ridge: float) -> nn.Linear:
    """A layer at the optimum of its cross-entropy with a penalty."""
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], classes).double()
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def total() -> Tensor:
        optimizer.zero_grad()
        penalty = sum(part.square().sum() for part in layer.parameters()) * ridge / 2
        found = functional.cross_entropy(layer(x), y, reduction="sum") + penalty
        found.backward()
        return found

    optimizer.step(total)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("outputs", [1, 3])
def test_least_squares_leaves_the_residual_of_the_refit(outputs):
    x, y = rows(30, 1), rows(30, 2, outputs)
    layer = least_squares(x, y)
    found = leave_one_out(layer, x[:2], y[:2], x, y)
    wide = torch.cat([x, torch.ones(30, 1).double()], dim=1)
    hat = (wide @ torch.linalg.inv(wide.T @ wide) @ wide.T).diagonal()
    residual = (y - layer(x)) / (1 - hat[:, None])
    assert (y.numpy() - found.outputs) == pytest.approx(residual.numpy(), abs=1e-8)
    others = [least_squares(torch.cat([x[:i], x[i + 1 :]]), torch.cat([y[:i], y[i + 1 :]])) for i in range(30)]
    refit = torch.cat([layer(x[i : i + 1]) for i, layer in enumerate(others)])
    assert found.outputs == pytest.approx(refit.numpy(), abs=1e-8)
    assert found.leverage == pytest.approx(outputs * hat.numpy(), abs=1e-10)
    assert found.leverage.sum() == pytest.approx(5 * outputs)
    assert found.unsettled < 1e-12
    risen = torch.stack([((layer(x[:2]) - y[:2]) ** 2).sum(dim=1) for layer in others], dim=1)
    risen = (risen - ((layer(x[:2]) - y[:2]) ** 2).sum(dim=1, keepdim=True)).numpy()
    assert found.influence.helped == pytest.approx(np.sort(risen, axis=1)[:, ::-1][:, :5], abs=1e-8)
    assert np.take_along_axis(risen, found.influence.opponents, axis=1) == pytest.approx(found.influence.hurt, abs=1e-8)


def test_a_classifier_s_answers_are_close_to_those_of_layers_fitted_again():
    x = rows(60, 3)
    y = (x[:, 0] + 0.5 * rows(60, 4, 1)[:, 0] > 0).long() + (x[:, 1] > 1).long()
    layer = settled(x, y, 3, 0.5)
    found = leave_one_out(layer, x[:1], y[:1], x, y, ridge=0.5)
    assert found.unsettled < 1e-6
    again = [settled(torch.cat([x[:i], x[i + 1 :]]), torch.cat([y[:i], y[i + 1 :]]), 3, 0.5) for i in range(20)]
    truth = torch.cat([layer(x[i : i + 1]) for i, layer in enumerate(again)]) - layer(x[:20])
    moved = found.outputs[:20] - layer(x[:20]).numpy()
    assert np.abs(moved - truth.numpy()).max() < 0.1 * truth.abs().max()
    assert np.corrcoef(moved.ravel(), truth.numpy().ravel())[0, 1] > 0.995


def test_wrong_labels_were_learnt_by_heart():
    x = rows(200, 5)
    y = (x @ torch.tensor([1.0, -1.0, 0.5, 0.0]).double() > 0).long()
    wrong = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:10]
    y[wrong] = 1 - y[wrong]
    net = nn.Sequential(nn.Identity(), settled(x, y, 2, 0.1))
    found = leave_one_out(net, x[:3], y[:3], x, y, ridge=0.1)
    assert found.influence.layer == "1"
    most = found.influence.on_itself.argsort()[::-1][:12]
    assert len(set(most.tolist()) & set(wrong.tolist())) >= 8


def test_blocks_of_training_rows_change_nothing(monkeypatch):
    x, y = rows(30, 1), rows(30, 2, 2)
    whole = leave_one_out(least_squares(x, y), x[:4], y[:4], x, y)
    monkeypatch.setattr("auditkit.attribution.examples.left_out.HELD", 7 * 8)
    parts = leave_one_out(least_squares(x, y), x[:4], y[:4], x, y)
    assert parts.influence.proponents.tolist() == whole.influence.proponents.tolist()
    assert parts.influence.helped == pytest.approx(whole.influence.helped, abs=1e-12)


def test_a_row_that_alone_fixes_a_weight_has_no_answer_without_it():
    x = torch.cat([rows(20, 1, 2), torch.zeros(20, 1).double()], dim=1)
    x[7, 2] = 1.0
    y = rows(20, 2, 1)
    found = leave_one_out(least_squares(x, y), x[:2], y[:2], x, y, most=20)
    assert np.isnan(found.outputs[7]).all()
    assert np.isnan(found.influence.on_itself[7])
    assert np.isfinite(np.delete(found.outputs, 7)).all()
    assert np.isfinite(found.influence.helped).all()
    assert found.leverage[7] == pytest.approx(1)


def test_weights_that_were_not_fitted_are_told():
    x, y = rows(30, 1), rows(30, 2, 1)
    torch.manual_seed(0)
    assert leave_one_out(nn.Linear(4, 1).double(), x[:1], y[:1], x, y).unsettled > 0.1


def test_what_cannot_be_asked_is_refused():
    x, y = rows(10, 1), rows(10, 2, 1)
    layer = least_squares(x, y)
    with pytest.raises(InputError, match="not give the model's own output"):
        leave_one_out(nn.Sequential(layer, nn.Tanh()), x, y, x, y)
    with pytest.raises(InputError, match="no curvature"):
        leave_one_out(layer, x, y, x, y, loss="absolute_error")
    with pytest.raises(InputError, match="more than the 4,096"):
        leave_one_out(
            nn.Linear(5000, 1).double(), torch.ones(2, 5000).double(), y[:2], torch.ones(2, 5000).double(), y[:2]
        )
    with pytest.raises(InputError, match="ridge"):
        leave_one_out(layer, x, y, x, y, ridge=-1.0)
    with pytest.raises(InputError, match="a callable has no layers"):
        leave_one_out(lambda rows: rows, x, y, x, y)  # type: ignore[arg-type]
