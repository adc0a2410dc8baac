"""The row engine: whole batches, halving when memory runs out, independence of rows; the attribution space."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.engine.ledger import Ledger
from auditkit.engine.rows import Plan, RowEngine, Rows
from auditkit.engine.space import InputSpace, SpaceError
from auditkit.errors import AuditError
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing

CPU = torch.device("cpu")
CODES = torch.int64


class Net(nn.Module):
    def __init__(self, coupled: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.coupled = coupled
        self.sizes: list[int] = []
        self.limit = 10**9

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        if self.coupled:
            x = x - x.mean(dim=0)
        return torch.tanh(self.linear(x))


def subject(net: nn.Module, n: int = 20) -> tuple[Model, Split]:
    torch.manual_seed(0)
    columns = tuple(Numeric(name=f"x{place}") for place in range(3))
    model = Model(net, ("a", "b"), TablePreprocessing(numeric=columns), device=CPU)
    values = np.random.default_rng(0).normal(size=(n, 3))
    table = pa.table({f"x{place}": values[:, place] for place in range(3)})
    return model, Split("test", "test", table, Schema(features=tuple(table.column_names), classes=("a", "b")))


def all_rows(model: Model, split: Split) -> Rows:
    (x,) = model.encode(split)
    return Rows((x,), torch.tensor([[-1.0, 1.0]]).repeat(len(split), 1))


@pytest.mark.parametrize("size", [1, 3, 7, 20, 64])
def test_scores_and_gradients_are_those_of_each_row_alone(size):
    model, split = subject(Net())
    rows = all_rows(model, split)
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "phase", size)
        scores = engine.scores(Plan(len(rows), rows.take))
        found = list(engine.gradients(Plan(len(rows), rows.take)))
    for place in range(len(rows)):
        x = rows.points[0][place : place + 1].clone().requires_grad_()
        logits = model.module(x)
        score = logits[0, 1] - logits[0, 0]
        (gradient,) = torch.autograd.grad(score, x)
        torch.testing.assert_close(scores[place], score.detach().double())
        torch.testing.assert_close(torch.cat([part[2][0] for part in found])[place], gradient[0])
    assert torch.cat([index for index, _, _ in found]).tolist() == list(range(len(rows)))


def test_batches_are_full_across_examples():
    model, split = subject(Net())
    rows = all_rows(model, split)
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "phase", 8)
        model.module.sizes.clear()
        engine.scores(Plan(20, rows.take))
    assert model.module.sizes == [8, 8, 4]


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_kept():
    model, split = subject(Net())
    rows = all_rows(model, split)
    ledger = Ledger()
    with model.evaluating():
        engine = RowEngine(model, split, ledger, "phase", 16)
        whole = engine.scores(Plan(20, rows.take))
        model.module.limit = 5
        model.module.sizes.clear()
        assert torch.equal(engine.scores(Plan(20, rows.take)), whole)
        assert model.module.sizes == [16, 8, 4, 4, 4, 4, 4]
        model.module.sizes.clear()
        list(engine.gradients(Plan(8, rows.take)))
        assert model.module.sizes == [4, 4]
        model.module.limit = 0
        with pytest.raises(AuditError, match="one row does not fit"):
            engine.scores(Plan(1, rows.take))
    assert ledger.entries()[0]["forwards"] == 20 + 20 + 8
    assert ledger.entries()[0]["backwards"] == 8


def test_independent_rows_pass_the_probe_and_coupled_ones_are_sent_alone():
    for coupled in (False, True):
        model, split = subject(Net(coupled))
        rows = all_rows(model, split)
        with model.evaluating():
            engine = RowEngine(model, split, Ledger(), "phase", 16)
            assert engine.probe(rows) is not coupled
            assert engine.size == (1 if coupled else 16)
            model.module.sizes.clear()
            engine.scores(Plan(6, rows.take))
            assert max(model.module.sizes) == (1 if coupled else 6)


def test_a_row_that_is_given_alone_is_probed_in_company():
    for coupled in (False, True):
        model, split = subject(Net(coupled), 1)
        with model.evaluating():
            engine = RowEngine(model, split, Ledger(), "phase", 16)
            assert engine.probe(all_rows(model, split)) is not coupled
            assert engine.size == (1 if coupled else 16)


def test_outputs_are_all_that_the_model_answers():
    model, split = subject(Net())
    ledger = Ledger()
    with model.evaluating() as net:
        engine = RowEngine(model, split, ledger, "phase", 3)
        found = engine.outputs(model.encode(split))
        expected = net(*model.encode(split))
    torch.testing.assert_close(found, expected.double())
    assert ledger.entries()[0]["forwards"] == len(split)


def test_a_plan_of_no_rows_scores_nothing():
    model, split = subject(Net())
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "phase")
        assert engine.scores(Plan(0, all_rows(model, split).take)).shape == (0,)


class Tokens(nn.Module):
    """Looks up three codes in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.table = nn.Embedding(20, 3)
        self.place = nn.Embedding(3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, codes: Tensor) -> Tensor:
        if self.way == "all at once":
            looked = self.table(codes).sum(dim=1)
        elif self.way == "one by one, backwards":
            looked = sum(self.table(codes[:, place]) for place in (2, 1, 0))
        elif self.way == "with places":
            looked = (self.table(codes) * self.place(torch.arange(3))).sum(dim=1)
        elif self.way == "slices and offsets":
            looked = self.table(codes[:, 1:] + 5).sum(dim=1) + self.table(codes[:, 0])
        elif self.way == "crossed":
            looked = self.table(codes[:, 0] + 2 * codes[:, 1]) + self.table(codes[:, 2])
        else:
            looked = self.table(codes[:, :2]).sum(dim=1) + codes[:, 2:].float()
        return self.head(looked)


OWNERS = {
    "all at once": [((0, 0), (0, 1), (0, 2))],
    "one by one, backwards": [((0, 2),), ((0, 1),), ((0, 0),)],
    "with places": [((0, 0), (0, 1), (0, 2))],
    "slices and offsets": [((0, 1), (0, 2)), ((0, 0),)],
}


def token_model(way: str) -> Model:
    torch.manual_seed(0)
    categorical = tuple(Categorical(name=f"c{place}", vocabulary=tuple("abcd")) for place in range(3))
    return Model(Tokens(way), ("a", "b"), TablePreprocessing(categorical=categorical), device=CPU)


@pytest.mark.parametrize("way", OWNERS)
def test_embedding_calls_are_traced_to_their_columns(way):
    model = token_model(way)
    codes = torch.randint(0, 5, (7, 3))
    with model.evaluating():
        space = InputSpace.trace(model, (codes[:1],))
        points, logits = space.enter((codes,))
        assert [space.owner(place) for place in range(len(points))] == OWNERS[way]
        torch.testing.assert_close(space.logits(points), logits)
        torch.testing.assert_close(logits, model.logits((codes,)).detach())


@pytest.mark.parametrize(("way", "why"), [("crossed", "several integer inputs"), ("raw", "other than through")])
def test_a_column_that_cannot_be_followed_is_refused(way, why):
    model = token_model(way)
    with model.evaluating(), pytest.raises(SpaceError, match=why):
        InputSpace.trace(model, (torch.zeros((1, 3), dtype=CODES),))


def test_tracing_and_scoring_leave_no_hook_even_when_the_model_fails():
    class Failing(Tokens):
        def forward(self, codes: Tensor) -> Tensor:
            super().forward(codes)
            raise RuntimeError("broken")

    model = token_model("all at once")
    with model.evaluating():
        space = InputSpace.trace(model, (torch.zeros((1, 3), dtype=CODES),))
        points, _ = space.enter((torch.ones((2, 3), dtype=CODES),))
        model.module.__class__ = Failing
        with pytest.raises(RuntimeError, match="broken"):
            space.logits(points)
    assert not any(part._forward_hooks for part in model.module.modules())


def test_recurrent_models_are_differentiated_in_eval_mode():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(1, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x[:, :, None])[0][:, -1])

    model, split = subject(Recurrent())
    rows = all_rows(model, split)
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "phase")
        assert engine.probe(rows)
        ((_, _, (gradient,)),) = engine.gradients(Plan(20, rows.take))
    assert (gradient.abs().sum(dim=0) > 0).all()


class Refusing(torch.autograd.Function):
    """As cuDNN does with a recurrent cell in eval mode."""

    @staticmethod
    def forward(_context, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        if torch.backends.cudnn.enabled:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return gradient


def test_a_recurrent_cell_that_nobody_sees_is_differentiated_without_cudnn():
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(Refusing.apply(x))

    model, split = subject(Hidden())
    rows = all_rows(model, split)
    weights = (model.module.head.weight[1] - model.module.head.weight[0]).detach()
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "phase")
        ((_, _, (gradient,)),) = engine.gradients(Plan(20, rows.take))
    torch.testing.assert_close(gradient, weights.expand(20, 3))
    assert torch.backends.cudnn.enabled


@pytest.mark.gpu
def test_cpu_and_cuda_agree():
    model, split = subject(Net())
    rows = all_rows(model, split)
    with model.evaluating():
        here = RowEngine(model, split, Ledger(), "phase").scores(Plan(20, rows.take))
    there_model = Model(model.module, model.classes, model.preprocessing, device=torch.device("cuda"))
    rows = all_rows(there_model, split)
    rows = Rows(rows.points, rows.contrast.cuda())
    with there_model.evaluating():
        there = RowEngine(there_model, split, Ledger(), "phase").scores(Plan(20, rows.take))
    torch.testing.assert_close(here, there.cpu(), atol=1e-5, rtol=1e-4)
