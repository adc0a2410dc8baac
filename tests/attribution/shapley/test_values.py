"""Shapley values against closed forms, all orders walked by hand, captum and shap."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.errors import InputError

relu = torch.relu
EXACT, KERNEL, ORDERS, BACKGROUND = "exact_shapley", "kernel_shap", "permutation_shapley", "interventional_shapley"
W = torch.tensor([2.0, -3.0, 0.5]).double()
A = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]]).double()
COSTS = torch.tensor([1.0, 2.0, 3.0]).double()
VOTES = torch.tensor([3.0, 2.0, 1.0]).double()
CLOSED_FORMS = {
    "linear": (lambda x: x @ W + 7, (1, 2, 3), (2, -6, 1.5)),
    "two rectifiers": (lambda x: relu(relu(x[:, 0]) - 1 - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "the same, written otherwise": (lambda x: relu(relu(x[:, 0] - 1) - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "maximum": (lambda x: x.amax(dim=1), (3, 1), (2.5, 0.5)),
    "product": (lambda x: x.prod(dim=1), (2, 3, 4), (8, 8, 8)),
    "quadratic form": (lambda x: ((x @ A) * x).sum(dim=1), (1, 2, 3), (4, 8, 3)),
    "airport": (lambda x: (x * COSTS).amax(dim=1), (1, 1, 1), (1 / 3, 5 / 6, 11 / 6)),
    "gloves": (lambda x: torch.minimum(x[:, 0], x[:, 1] + x[:, 2]), (1, 1, 1), (2 / 3, 1 / 6, 1 / 6)),
    "majority": (lambda x: (x.sum(dim=1) >= 2).double(), (1, 1, 1), (1 / 3, 1 / 3, 1 / 3)),
    "weighted vote": (lambda x: (x @ VOTES >= 4).double(), (1, 1, 1), (2 / 3, 1 / 6, 1 / 6)),
}
PAIRWISE = ("linear", "two rectifiers", "the same, written otherwise", "maximum", "quadratic form")
"""games in which no three parts interact, so that an order and its reverse give the value"""


@pytest.mark.parametrize("method", [EXACT, KERNEL, BACKGROUND])
@pytest.mark.parametrize("case", CLOSED_FORMS)
def test_closed_forms(case, method):
    f, point, expected = CLOSED_FORMS[case]
    x = torch.tensor([point], dtype=torch.float64)
    more = {"reference": torch.zeros_like(x)} if method == BACKGROUND else {}
    found = explain(f, x, method=method, **more)
    np.testing.assert_allclose(found.values[0], expected, atol=1e-9)
    assert abs(float(found.completeness_gap[0])) < 1e-9


@pytest.mark.parametrize("case", CLOSED_FORMS)
def test_closed_forms_by_orders(case):
    f, point, expected = CLOSED_FORMS[case]
    found = explain(f, torch.tensor([point], dtype=torch.float64), method=ORDERS, samples=2000)
    within = 1e-9 if case in PAIRWISE else 4 * float(found.standard_error.max()) + 1e-9
    np.testing.assert_allclose(found.values[0], expected, atol=within)
    assert within < 0.2 * np.abs(expected).max() + 1e-9
    assert abs(float(found.completeness_gap[0])) < 1e-9


def network(width: int, outputs: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, 24), nn.Tanh(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, outputs)).double()


def rows(n: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn((n, width), generator=torch.Generator().manual_seed(seed)).double()


def by_orders(f, x: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values [F] of one row, from every order."""
    values, orders = torch.zeros_like(x), list(permutations(range(len(x))))
    for order in orders:
        walk = [baseline.clone()]
        for part in order:
            walk.append(walk[-1].clone())
            walk[-1][part] = x[part]
        worth = f(torch.stack(walk)).detach()
        values[list(order)] += worth.diff()
    return values / len(orders)


@pytest.mark.parametrize("method", [EXACT, KERNEL])
def test_every_order_walked_by_hand_agrees(method):
    model, x, baseline = network(5), rows(3, 5), rows(3, 5, 2)
    found = explain(model, x, method=method, target=1, baseline=baseline)
    for place in range(3):
        expected = by_orders(lambda z: model(z)[:, 1], x[place], baseline[place])
        torch.testing.assert_close(found.values[place], expected, atol=1e-9, rtol=0)


@pytest.mark.filterwarnings("ignore:You are providing multiple inputs")
@pytest.mark.parametrize("double", [True, False])
def test_captum_agrees(double):
    from captum.attr import KernelShap, ShapleyValues

    kind = torch.float64 if double else torch.float32
    model, x, baseline = network(5).to(kind), rows(2, 5).to(kind), rows(1, 5, 2).to(kind)
    exact = explain(model, x, method=EXACT, target=0, baseline=baseline)
    theirs = ShapleyValues(model).attribute(x, baselines=baseline, target=0, perturbations_per_eval=8)
    limit = 1e-6 if double else 1e-5  # captum answers in float32 whatever it is given
    torch.testing.assert_close(exact.values.double(), theirs.double(), atol=limit, rtol=1e-5)
    torch.manual_seed(0)
    sampled = KernelShap(model).attribute(
        x[:1], baselines=baseline, target=0, n_samples=500, perturbations_per_eval=500
    )
    apart = (sampled.detach() - exact.values[:1]).abs().max() / exact.values[:1].abs().max()
    assert apart < 0.3  # its own scatter at so many samples, half of which are the same coalitions again


def test_shap_agrees_on_the_interventional_game():
    shap = pytest.importorskip("shap")
    model, x, background = network(7), rows(3, 7), rows(4, 7, 2)

    def f(z: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(z))[:, 2].detach().numpy()

    theirs = shap.KernelExplainer(f, background.numpy())
    every = theirs.shap_values(x.numpy(), nsamples=2**7, l1_reg=0, silent=True)
    found = explain(model, x, method=BACKGROUND, target=2, reference=background)
    np.testing.assert_allclose(found.values, every, atol=1e-9)
    np.testing.assert_allclose(found.baseline_scores, theirs.expected_value, atol=1e-9)
    assert found.evaluations.tolist() == [(2**7 - 2) * 4] * 3


def test_the_interventional_game_is_the_mean_of_baseline_games():
    model, x, background = network(6), rows(4, 6), rows(3, 6, 2)
    found = explain(model, x, method=BACKGROUND, reference=background)
    each = [explain(model, x, method=EXACT, baseline=row[None]).values for row in background]
    torch.testing.assert_close(found.values, torch.stack(each).mean(dim=0), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.completeness_gap, torch.zeros(4).double(), atol=1e-9, rtol=0)
    assert found.baseline == "the average score of 3 reference rows"


def test_what_is_asked_too_much_or_lacks_rows_is_refused():
    x = rows(1, 20)
    with pytest.raises(InputError, match=r"20 parts .*\(groups\).*kernel_shap"):
        explain(network(20), x, method=EXACT)
    few = explain(network(20), x, method=EXACT, groups=torch.arange(20) // 2)
    assert few.evaluations[0] == 2**10 - 2
    with pytest.raises(InputError, match="reference"):
        explain(network(20), x, method=BACKGROUND)


@pytest.mark.parametrize("method", [EXACT, KERNEL, ORDERS])
def test_groups_share_one_value_and_are_one_player(method):
    model, x = network(9), rows(2, 9)
    groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])

    def joined(z: Tensor) -> Tensor:
        return model(x[:1] * z[:, groups])[:, 0]

    found = explain(model, x[:1], method=method, target=0, groups=groups)
    whole = explain(joined, torch.ones(1, 3).double(), method=method)
    torch.testing.assert_close(found.by_part, whole.by_part, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.values[0, [0, 3, 5]], found.by_part[0], atol=1e-9, rtol=0)


class Words(nn.Module):
    """Ids, looked up and mixed over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.lookup = nn.Embedding(11, 4, padding_idx=0)
        self.mix = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, ids: Tensor) -> Tensor:
        return self.mix(self.lookup(ids).flatten(1))


def test_ids_are_players_and_those_that_fill_up_are_none():
    torch.manual_seed(4)
    model = Words().double()
    ids = torch.tensor([[3, 5, 7, 0, 0], [1, 2, 3, 4, 5]])
    found = {name: explain(model, ids, method=name, target=1) for name in (EXACT, KERNEL)}
    silent = torch.zeros(5).double()

    def masked(z: Tensor) -> Tensor:
        return model((ids[:1] * (z > 0)).long())[:, 1]

    expected = by_orders(masked, torch.ones(5).double(), silent)
    for name, attribution in found.items():
        torch.testing.assert_close(attribution.by_part[0], expected, atol=1e-9, rtol=0, msg=name)
        assert attribution.by_part[0, 3:].tolist() == [0, 0]
        assert attribution.evaluations.tolist() == [2**3 - 2, 2**5 - 2]


@pytest.mark.parametrize("method", [EXACT, KERNEL, ORDERS, BACKGROUND, "gaussian_shapley"])
def test_batches_and_company_do_not_matter_and_the_model_is_left_as_it_was(method):
    model, x = network(7).train(), rows(3, 7)
    next(model.parameters()).requires_grad_(False)
    before = [(parameter.clone(), parameter.requires_grad) for parameter in model.parameters()]
    told = {"method": method, "target": 1, "reference": rows(3, 7, 2), "samples": 100, "tolerance": 0}
    state = torch.random.get_rng_state()
    whole = explain(model, x, **told)
    assert torch.equal(torch.random.get_rng_state(), state)
    for size in (1, 5):
        torch.testing.assert_close(explain(model, x, batch_size=size, **told).values, whole.values, atol=1e-9, rtol=0)
    torch.testing.assert_close(explain(model, x[1:2], **told).values, whole.values[1:2], atol=1e-9, rtol=0)
    assert torch.equal(explain(model, x, **told).by_part, whole.by_part)
    after = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    assert all(torch.equal(a, b) and one == two for (a, one), (b, two) in zip(before, after, strict=True))
    assert all(part.training and not part._forward_hooks for part in model.modules())
    assert not whole.values.requires_grad
