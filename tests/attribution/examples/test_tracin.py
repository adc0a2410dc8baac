"""TracIn: the product of gradients that were written out, captum's numbers, and planted wrong labels on top."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditkit.attribution import influential
from auditkit.attribution.examples import tracin
from auditkit.errors import InputError


def network(outputs: int = 3, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, outputs, bias=bias)).double()


def rows(count: int, seed: int, width: int = 4) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def written_out(net: nn.Module, head: nn.Linear, x: Tensor, y: Tensor, loss) -> Tensor:
    """Every row's gradient by all parameters of the head, by autograd, [n, parameters]."""
    net.eval()
    found = []
    for row, label in zip(x, y, strict=True):
        parts = torch.autograd.grad(loss(net(row[None]), label[None]), list(head.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found)


def pinned(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.double())


def apart(outputs: Tensor, labels: Tensor) -> Tensor:
    return ((outputs[:, 0] - labels) ** 2).sum()


CASES = {
    "cross_entropy": (3, functional.cross_entropy, True),
    "one output": (1, pinned, True),
    "squared_error": (1, apart, False),
}


@pytest.mark.parametrize("case", CASES)
def test_influence_is_the_product_of_the_gradients(case):
    outputs, loss, classes = CASES[case]
    net = network(outputs)
    x, known = rows(5, 1), rows(30, 2)
    y, taught = (torch.arange(n) % max(2, outputs) if classes else rows(n, 7, 1)[:, 0] for n in (5, 30))
    found = influential(net, x, y, known, taught, most=30)
    ours, theirs = (written_out(net, net[3], *part, loss) for part in ((x, y), (known, taught)))
    product = (ours @ theirs.T).numpy()
    assert found.helped == pytest.approx(np.sort(product, axis=1)[:, ::-1], abs=1e-10)
    assert np.take_along_axis(product, found.proponents, axis=1) == pytest.approx(found.helped, abs=1e-10)
    assert np.take_along_axis(product, found.opponents, axis=1) == pytest.approx(found.hurt, abs=1e-10)
    assert (np.diff(found.hurt) >= 0).all()
    assert found.on_itself == pytest.approx(theirs.square().sum(dim=1).numpy(), abs=1e-10)
    assert (found.layer, found.checkpoints) == ("3", 1)
    alike = influential(net, x, y, known, taught, most=30, alike=True)
    cosine = functional.cosine_similarity(ours[:, None], theirs[None], dim=2).numpy()
    assert alike.helped == pytest.approx(np.sort(cosine, axis=1)[:, ::-1], abs=1e-9)


def test_a_softmax_or_another_loss_after_the_head_is_heard():
    net, x, y = network(), rows(4, 1), torch.tensor([0, 1, 2, 0])
    known, taught = rows(20, 2), torch.arange(20) % 3
    plain = influential(net, x, y, known, taught)
    behind = influential(
        nn.Sequential(net, nn.LogSoftmax(dim=1)),
        x,
        y,
        known,
        taught,
        loss=lambda outputs, labels: -outputs.gather(1, labels[:, None])[:, 0],
    )
    assert behind.layer == "0.3"
    assert (behind.proponents == plain.proponents).all()
    assert behind.helped == pytest.approx(plain.helped, abs=1e-10)


def test_captum_agrees_over_two_checkpoints():
    from captum.influence import TracInCPFast

    net, other = network(bias=False), network(bias=False)
    with torch.no_grad():
        other[3].weight.add_(rows(3, 9, 8))
        other[0].weight.mul_(1.5)
    net.eval()
    saved, rates = [net.state_dict(), other.state_dict()], [0.1, 0.02]
    saved = [{name: value.clone() for name, value in weights.items()} for weights in saved]
    x, y, known, taught = rows(6, 1), torch.arange(6) % 3, rows(40, 2), torch.arange(40) % 3

    def load(model: nn.Module, place: str) -> float:
        model.load_state_dict(saved[int(place)])
        return rates[int(place)]

    theirs = TracInCPFast(
        net,
        net[3],
        torch.utils.data.TensorDataset(known, taught),
        ["0", "1"],
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=16,
    ).influence((x, y))
    net.load_state_dict(saved[0])
    found = influential(net, x, y, known, taught, checkpoints=saved, learning_rates=rates, most=40)
    every = np.empty((6, 40))
    np.put_along_axis(every, found.proponents, found.helped, axis=1)
    assert every == pytest.approx(theirs.detach().numpy(), abs=1e-9)
    assert all(torch.equal(value, saved[0][name]) for name, value in net.state_dict().items())


def test_training_in_blocks_finds_the_same(monkeypatch):
    net, x, y = network(), rows(4, 1), torch.tensor([0, 1, 2, 0])
    known, taught = rows(50, 2), torch.arange(50) % 3
    whole = influential(net, x, y, known, taught)
    monkeypatch.setattr(tracin, "BLOCK", 7)
    parts = influential(net, x, y, known, taught, batch_size=3)
    assert (parts.proponents == whole.proponents).all()
    assert (parts.opponents == whole.opponents).all()
    assert parts.helped == pytest.approx(whole.helped, abs=1e-12)
    assert parts.on_itself == pytest.approx(whole.on_itself, abs=1e-12)


def test_planted_wrong_labels_influence_themselves_most():
    x = rows(300, 3, 2)
    x[:, 0] += 4 * (torch.arange(300) % 2) - 2
    labels = torch.arange(300) % 2
    wrong = torch.tensor([10, 77, 123, 200])
    labels[wrong] = 1 - labels[wrong]
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    for _ in range(100):
        slopes = torch.autograd.grad(functional.cross_entropy(net(x), labels), list(net.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(net.parameters(), slopes, strict=True):
                parameter -= 0.5 * slope
    before = [value.clone() for value in net.state_dict().values()]
    found = influential(net, x[:8], labels[:8], x, labels)
    assert len(set(np.argsort(-found.on_itself)[:8]) & set(wrong.tolist())) == 4
    assert (labels[found.proponents].numpy() == labels[:8, None].numpy()).all()
    assert all(torch.equal(*pair) for pair in zip(before, net.state_dict().values(), strict=True))
    assert net.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_what_has_no_such_gradients_is_refused():
    net, x, y = network(), rows(4, 1), torch.tensor([0, 1, 2, 0])
    for problem, model, settings in (
        ("a callable has no layers", lambda given: net(given), {}),
        ("is Tanh, and not linear", net, {"layer": "1"}),
        ("no layer '9'", net, {"layer": "9"}),
        ("learning_rates: 2 for 1", net, {"checkpoints": [net.state_dict()], "learning_rates": [1, 2]}),
        ("do not fit the model", net, {"checkpoints": [{"weight": torch.ones(1)}]}),
        ("whole numbers from 0 to 2", net, {"training_labels": torch.tensor([0, 1, 2, 3])}),
        ("most", net, {"most": 0}),
        ("called 2 times", nn.Sequential(net, *[nn.Linear(3, 3).double()] * 2), {}),
        ("no linear layer", nn.Sequential(nn.Flatten()), {}),
    ):
        before = [value.clone() for value in net.state_dict().values()]
        with pytest.raises(InputError, match=problem):
            influential(model, x, y, **{"training": x, "training_labels": y, **settings})
        assert all(torch.equal(*pair) for pair in zip(before, net.state_dict().values(), strict=True))

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 3)

        def forward(self, given: Tensor) -> Tensor:
            return self.head(given).mean(dim=1)

    with pytest.raises(InputError, match="several places"):
        influential(Steps(), torch.randn(4, 5, 2), y, torch.randn(4, 5, 2), y)
