"""The pass: each row once, in order, whatever the batch size, and memory errors are survived."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.engine.analysis import Context, Needs
from auditkit.engine.ledger import Ledger
from auditkit.engine.local import run_pass
from auditkit.engine.progress import Progress
from auditkit.errors import AuditError
from auditkit.spec import AuditSpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.subject.subject import Subject


class Recorder:
    def __init__(self, split, earlier):
        self.split, self.earlier, self.rows, self.seen = split, earlier, [], []

    def update(self, observation):
        self.rows.extend(observation.rows.tolist())
        self.seen.append(observation)

    def merge(self, other):
        self.rows.extend(other.rows)


class Watching:
    title = "watching"

    def __init__(self, name, needs, splits=("train", "test", "far")):
        self.name, self._needs, self.splits = name, needs, splits

    def needs(self, subject, spec):
        return self._needs

    def observe(self, context, split, earlier):
        return Recorder(split.name, list(earlier)) if split.name in self.splits else None


@pytest.fixture
def subject():
    generator = np.random.default_rng(0)
    schema = Schema(features=("a", "b"), classes=("no", "yes"), label="y")

    def split(name, role, n):
        table = pa.table({"a": generator.normal(size=n), "b": generator.normal(size=n), "y": ["no", "yes"] * (n // 2)})
        return Split(name, role, table, schema)

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    preprocessing = TablePreprocessing(numeric=(Numeric(name="a"), Numeric(name="b")))
    model = Model(module, ("no", "yes"), preprocessing, device=torch.device("cpu"))
    splits = (split("far", "ood", 6), split("test", "test", 10), split("train", "train", 30))
    return Subject("toy", model, splits, schema)


def context_of(subject, **spec):
    return Context(subject, AuditSpec(**spec), Ledger(), Progress(quiet=True))


def test_two_analyses_share_one_forward_per_row_and_split(subject):
    context = context_of(subject, batch_size=4)
    run_pass(context, [Watching("a", Needs(logits=True)), Watching("b", Needs(features=True, layers="all"))])
    assert {entry["split"]: entry["forwards_per_row"] for entry in context.ledger.entries()} == {
        "far": 1.0,
        "test": 1.0,
        "train": 1.0,
    }


def test_splits_pass_in_order_and_earlier_observers_are_handed_on(subject):
    observers = run_pass(context_of(subject), [Watching("a", Needs(logits=True))])["a"]
    assert list(observers) == ["train", "test", "far"]
    assert observers["far"].earlier == ["train", "test"]
    assert observers["train"].rows == list(range(30))


def test_a_split_nobody_watches_is_not_forwarded(subject):
    context = context_of(subject)
    run_pass(context, [Watching("a", Needs(logits=True), splits=("test",))])
    assert [entry["split"] for entry in context.ledger.entries()] == ["test"]


def test_the_batch_size_does_not_change_what_is_seen(subject):
    def logits(size):
        seen = run_pass(context_of(subject, batch_size=size), [Watching("a", Needs(logits=True))])["a"]["train"].seen
        return torch.cat([observation.logits for observation in seen])

    assert torch.allclose(logits(1), logits(30), atol=1e-6)


def test_features_are_what_the_last_linear_layer_is_given(subject):
    seen = run_pass(context_of(subject), [Watching("a", Needs(features=True))])["a"]["test"].seen[0]
    head = subject.model.head
    assert torch.allclose(seen.features @ head.weight.T + head.bias, seen.logits, atol=1e-6)


def test_the_model_is_left_as_it_was_found(subject):
    module = subject.model.module
    module.train()
    module[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    random = torch.random.get_rng_state()
    run_pass(context_of(subject), [Watching("a", Needs(features=True, layers="all"))])
    assert all(part.training for part in module.modules())
    assert [p.requires_grad for p in module.parameters()] == [False, True, True, True, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.equal(random, torch.random.get_rng_state())


class Hungry(nn.Module):
    """Runs out of memory above a number of rows."""

    def __init__(self, limit):
        super().__init__()
        self.limit, self.sizes, self.inner = limit, [], nn.Linear(2, 2)

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(x)


def hungry(subject, limit):
    model = Model(Hungry(limit), subject.model.classes, subject.model.preprocessing, device=torch.device("cpu"))
    return Subject("hungry", model, subject.splits, subject.schema)


def test_a_batch_that_does_not_fit_is_halved_and_no_row_is_lost_or_doubled(subject):
    greedy = hungry(subject, limit=5)
    context = context_of(greedy, batch_size=16)
    observers = run_pass(context, [Watching("a", Needs(logits=True))])["a"]
    assert observers["train"].rows == list(range(30))
    assert {entry["forwards_per_row"] for entry in context.ledger.entries()} == {1.0}
    tried_too_large = [size for size in greedy.model.module.sizes if size > 5]
    assert tried_too_large == [16, 8], "the size that fits is kept, so that it is found only once"


def test_one_row_that_does_not_fit_ends_in_a_sentence(subject):
    with pytest.raises(AuditError, match="one row does not fit"):
        run_pass(context_of(hungry(subject, limit=0), batch_size=4), [Watching("a", Needs(logits=True))])
