"""Model: any module's outputs as logits, and the module left as it was found."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from auditkit.errors import InputError
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model, pick_device
from auditkit.subject.preprocessing import Numeric, TablePreprocessing

CPU = torch.device("cpu")
INPUTS = torch.randn(5, 2)


def model(module, classes=("no", "yes"), **settings):
    names = TablePreprocessing(numeric=(Numeric(name="a"), Numeric(name="b")))
    return Model(module, classes, names, device=CPU, **settings)


class Giving(nn.Module):
    """Gives its linear layer's output in some wrapping."""

    def __init__(self, width, wrap):
        super().__init__()
        self.linear, self.wrap = nn.Linear(2, width), wrap

    def forward(self, inputs):
        return self.wrap(self.linear(inputs))


@pytest.mark.parametrize(
    "wrap", [lambda out: out, lambda out: (out, None), lambda out: {"loss": 0, "logits": out}, lambda out: out.double()]
)
def test_logits_are_found_in_any_wrapping(wrap):
    module = Giving(2, wrap)
    logits = model(module).logits((INPUTS,))
    assert torch.equal(logits, module.linear(INPUTS))
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("wrap", [lambda out: out, lambda out: out[:, 0]])
def test_one_output_is_the_log_odds_of_the_second_class(wrap):
    module = Giving(1, wrap)
    probabilities = model(module).logits((INPUTS,)).softmax(1)
    torch.testing.assert_close(probabilities[:, 1], torch.sigmoid(module.linear(INPUTS)[:, 0]))


def test_outputs_that_are_not_the_classes():
    with pytest.raises(InputError, match=r"outputs of shape \(5, 3\) for 2 classes \(no, yes\)"):
        model(Giving(3, lambda out: out)).logits((INPUTS,))


def test_the_module_is_left_as_it_was_found_whatever_happens():
    module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    module[1].eval()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    flags = [parameter.requires_grad for parameter in module.parameters()]
    state = torch.random.get_rng_state()

    def fail():
        with model(module).evaluating() as inside:
            assert not any(part.training for part in inside.modules())
            assert not any(parameter.requires_grad for parameter in inside.parameters())
            inside(torch.randn(5, 2))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert [part.training for part in module.modules()] == modes
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_features_enter_the_last_linear_layer_unless_another_is_named():
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    assert model(module).penultimate == "2"
    assert model(module).head is module[2]
    assert model(module, penultimate="1").head is None
    with pytest.raises(InputError, match="no layer '9'"):
        model(module, penultimate="9")


def test_the_digest_knows_every_weight_and_buffer():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    digests = [model(module).digest]
    with torch.no_grad():
        module[0].bias[0] += 1e-6
    digests.append(model(module).digest)
    module[1].running_mean[0] = 1
    digests.append(model(module).digest)
    assert len(set(digests)) == 3
    assert model(module).digest == digests[-1]


def test_batches_are_the_rows_in_order():
    table = pa.table({"a": np.arange(7.0), "b": np.zeros(7), "y": ["no", "yes"] * 3 + ["no"]})
    split = Split("test", "test", table, Schema(("a", "b"), ("no", "yes"), "y"))
    batches = list(model(nn.Linear(2, 2)).batches(split, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert torch.cat([batch.inputs[0][:, 0] for batch in batches]).tolist() == list(range(7))
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [0, 1, 0, 1, 0, 1, 0]
    chosen = next(model(nn.Linear(2, 2)).batches(split, 9, np.array([5, 2])))
    assert chosen.rows.tolist() == [5, 2]
    assert chosen.inputs[0][:, 0].tolist() == [5.0, 2.0]


def test_a_wider_network_gets_smaller_batches():
    split = Split("o", "ood", pa.table({"a": [0.0], "b": [0.0]}), Schema(("a", "b"), ("no", "yes")))
    sizes = [model(nn.Sequential(nn.Linear(2, w), nn.Linear(w, 2))).safe_rows(split) for w in (8, 10**5, 10**6)]
    assert sizes[0] == 4096
    assert sizes[0] > sizes[1] > sizes[2] >= 1
    assert all(size & (size - 1) == 0 for size in sizes)


@pytest.mark.parametrize(("device", "said"), [("gpu", "is not known"), ("cuda:99", "no CUDA|is not known")])
def test_devices_this_machine_lacks(device, said):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(InputError, match=said):
        pick_device(device)
