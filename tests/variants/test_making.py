from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as reference

import auditkit as ak
from auditkit.errors import InputError
from auditkit.subject.bundle import load_bundle, save_bundle
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.training.architectures.bfloat16 import own_network
from auditkit.training.architectures.int8 import Int8Linear, Int8LSTM, quantised
from auditkit.training.architectures.mlp import MLP
from auditkit.variants.derive import derive, name_of
from auditkit.variants.distil import distillation_losses
from auditkit.variants.prune import prune

CLASSES = ("no", "yes")
NAMES = ("a", "b", "c")
MLP_PATH = "auditkit.training.architectures.mlp:MLP"


def made(hidden: tuple[int, ...] = (32, 16), seed: int = 0) -> Model:
    torch.manual_seed(seed)
    arguments = {"numeric": 3, "categories": [], "classes": 2, "hidden": list(hidden), "dropout": 0.0}
    schema = Schema(NAMES, CLASSES, "y", "yes", ("sex",))
    model = Model(
        MLP(**arguments).eval(), CLASSES, TablePreprocessing(numeric=tuple(Numeric(name=name) for name in NAMES)),
        device=torch.device("cpu"), architecture={"path": MLP_PATH, "arguments": arguments}, schema=schema,
    )  # fmt: skip
    return model


def rows(n: int = 600, seed: int = 0) -> dict[str, Split]:
    rng = np.random.default_rng(seed)
    splits = {}
    for role in ("train", "validation", "test"):
        x = rng.normal(size=(n, 3))
        y = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=n) > 0
        table = pa.table({name: x[:, at] for at, name in enumerate(NAMES)})
        table = table.append_column("y", pa.array(np.where(y, "yes", "no")))
        table = table.append_column("sex", pa.array(rng.choice(["f", "m"], n)))
        splits[role] = Split(role, role, table, Schema(NAMES, CLASSES, "y", "yes", ("sex",)))  # type: ignore[arg-type]
    return splits


def test_an_int8_layer_is_within_its_rounding() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(64, 16), torch.randn(50, 64) * torch.logspace(-2, 2, 50)[:, None]
    error = (Int8Linear(layer.weight, layer.bias)(inputs) - layer(inputs)).abs()
    half_w = quantised(layer.weight.detach())[1][:, 0] / 2
    half_x = quantised(inputs)[1] / 2
    most = inputs.abs().sum(1, keepdim=True) * half_w + half_x * layer.weight.abs().sum(1) + 64 * half_x * half_w
    assert (error <= most * 1.001).all()
    assert error.max() > 0


def test_an_int8_layer_is_exact_integer_arithmetic() -> None:
    torch.manual_seed(1)
    layer, inputs = nn.Linear(300, 7), torch.randn(20, 300)
    small = Int8Linear(layer.weight, layer.bias)
    (x, x_scale), (w, w_scale) = quantised(inputs), quantised(layer.weight.detach())
    whole = (x.double() @ w.double().t()) * x_scale.double() * w_scale[:, 0].double() + layer.bias.double()
    assert torch.allclose(small(inputs).double(), whole, rtol=1e-6)
    assert torch.equal(small(inputs)[3:4], small(inputs[3:4])), "a row's answer depends on its company"
    assert small.weight_int8.dtype == torch.int8


@pytest.mark.gpu
def test_int8_on_a_gpu_multiplies_the_same_integers() -> None:
    torch.manual_seed(1)
    layer, inputs = Int8Linear(torch.randn(7, 40)), torch.randn(3, 40)
    there = layer.cuda()(inputs.cuda()).cpu()
    assert torch.allclose(there, layer.cpu()(inputs), rtol=1e-5)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_an_int8_layer_gives_no_number_for_what_is_none(broken: float) -> None:
    inputs = torch.ones(2, 4)
    inputs[0, 1] = broken
    output = Int8Linear(torch.randn(3, 4))(inputs)
    assert not torch.isfinite(output[0]).any()
    assert torch.isfinite(output[1]).all()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_an_int8_lstm_follows_the_whole_one(layers: int, both: bool) -> None:
    torch.manual_seed(2)
    whole = nn.LSTM(6, 12, num_layers=layers, bidirectional=both, batch_first=True).eval()
    inputs = torch.randn(8, 11, 6)
    (output, (hidden, cell)), (was, (hidden_was, cell_was)) = Int8LSTM(whole)(inputs), whole(inputs)
    for new, old in ((output, was), (hidden, hidden_was), (cell, cell_was)):
        assert new.shape == old.shape
        assert (new - old).abs().max() < 0.03
    start = (torch.randn_like(hidden_was), torch.randn_like(hidden_was))
    assert (Int8LSTM(whole)(inputs, start)[0] - whole(inputs, start)[0]).abs().max() < 0.03
    assert torch.equal(Int8LSTM(whole)(inputs[2:3])[0], output[2:3])


def test_int8_and_bf16_logits_stay_near_and_the_original_is_left_alone() -> None:
    model = made()
    inputs, before = (torch.randn(200, 3),), model.digest
    logits = model.logits(inputs).detach()
    for how, most in (("int8", 0.05), ("bf16", 0.05)):
        variant = derive(model, how)
        changed = (variant.logits(inputs).detach() - logits).abs().max()
        assert 0 < changed < most * logits.abs().max()
        assert variant.logits(inputs).dtype == torch.float32
        assert variant.record["derived"]["of"] == before
        assert name_of(variant) == how
        assert variant.layers() == model.layers()
    del model.__dict__["digest"]
    assert model.digest == before
    assert derive(model, "bf16").module.head.weight.dtype == torch.bfloat16
    assert "gradients" in derive(model, "int8").lacks


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_pruning_zeroes_exactly_the_share_that_torch_would(share: float) -> None:
    ours, theirs = made(seed=3).module, made(seed=3).module
    weights = [(module, "weight") for module in theirs.modules() if isinstance(module, nn.Linear)]
    total = sum(module.weight.numel() for module, _ in weights)
    if share:
        reference.global_unstructured(weights, reference.L1Unstructured, amount=share)
    assert prune(ours, share) == round(share * total)
    zeros = sum(int((module.weight == 0).sum()) for module in ours.modules() if isinstance(module, nn.Linear))
    assert zeros == round(share * total)
    for mine, (module, _) in zip((m for m in ours.modules() if isinstance(m, nn.Linear)), weights, strict=True):
        assert torch.equal(mine.weight, module.weight)


def test_ties_are_pruned_to_the_share_too() -> None:
    layer = nn.Linear(10, 10)
    nn.init.ones_(layer.weight)
    assert prune(layer, 0.37) == 37
    assert int((layer.weight == 0).sum()) == 37


def test_structured_pruning_takes_the_smallest_rows_and_leaves_the_head() -> None:
    model = made((10, 8))
    before = model.module.blocks[0][0].weight.detach().norm(dim=1)
    variant = derive(model, "pruned", share=0.3, structured=True)
    first, head = variant.module.blocks[0][0], variant.module.head
    gone = (first.weight == 0).all(dim=1)
    assert gone.sum() == 3
    assert set(torch.argsort(before)[:3].tolist()) == set(torch.nonzero(gone)[:, 0].tolist())
    assert (first.bias[gone] == 0).all()
    assert (head.weight != 0).all()


@pytest.mark.parametrize("how", ["int8", "bf16", "pruned"])
def test_a_variant_survives_its_bundle(how: str, tmp_path) -> None:
    model = made()
    variant = derive(model, how)
    loaded = load_bundle(save_bundle(variant, tmp_path / how), device="cpu")
    inputs = (torch.randn(40, 3),)
    assert torch.equal(loaded.logits(inputs), variant.logits(inputs))
    assert loaded.digest == variant.digest
    assert loaded.record["derived"]["of"] == model.digest
    assert loaded.lacks == variant.lacks
    assert [caveat.text for caveat in loaded.caveats] == [caveat.text for caveat in variant.caveats]


def test_a_bundle_cannot_run_foreign_code_through_a_variant(tmp_path) -> None:
    with pytest.raises(InputError, match="outside auditkit"):
        own_network("antigravity:X", {})
    folder = save_bundle(derive(made(), "int8"), tmp_path / "b")
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace(MLP_PATH, "antigravity:X"))
    with pytest.raises(InputError, match="outside auditkit"):
        load_bundle(folder, device="cpu")
    foreign = made()
    foreign.architecture = {"path": "somebody.elses:Network", "arguments": {}}
    with pytest.raises(InputError, match="how to build the network"):
        save_bundle(derive(foreign, "int8"), tmp_path / "c")


def test_a_student_is_smaller_and_agrees_with_its_teacher() -> None:
    splits = rows()
    model = made((32, 16))
    optimiser = torch.optim.Adam(model.module.parameters(), lr=0.01)
    inputs, labels = model.encode(splits["train"]), torch.from_numpy(splits["train"].labels)
    model.module.train()
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model.module(*inputs), labels).backward()
        optimiser.step()
    model.module.eval()
    settings = {"epochs": 30, "batch_size": 64, "learning_rate": 0.01, "threads": 1}
    student = derive(model, "distilled", splits=splits, recipe=settings)
    assert student.architecture["arguments"]["hidden"] == [16, 8]
    assert student.parameters == made((16, 8)).parameters
    test = model.encode(splits["test"])
    agree = (model.logits(test).argmax(1) == student.logits(test).argmax(1)).float().mean()
    assert agree > 0.85
    assert student.preprocessing == model.preprocessing
    assert student.record["derived"]["how"] == "distilled"


def test_a_student_taught_by_the_teacher_alone_does_not_heed_the_labels() -> None:
    """The teacher knows one column, the training labels are of others: with mixing 1 only the teacher's word counts."""
    splits = rows()
    held = splits["validation"].table
    told_by_c = pa.array(np.where(held.column("c").to_numpy() > 0, "yes", "no"))
    held = held.set_column(held.column_names.index("y"), "y", told_by_c)
    splits["validation"] = replace(splits["validation"], table=held)
    model = made((8,))
    with torch.no_grad():
        block = model.module.blocks[0][0]
        block.weight.zero_()
        block.bias.zero_()
        block.weight[0, 2], block.weight[1, 2] = 3.0, -3.0
        model.module.head.weight.zero_()
        model.module.head.weight[1, 0], model.module.head.weight[1, 1] = 1.0, -1.0
        model.module.head.bias.zero_()
    settings = {"epochs": 25, "batch_size": 64, "learning_rate": 0.02, "threads": 1, "patience": 25}
    student = derive(model, "distilled", splits=splits, mixing=1.0, arguments={"hidden": [8]}, recipe=settings)
    test = model.encode(splits["test"])
    told = model.logits(test).argmax(1)
    agree = (student.logits(test).argmax(1) == told).float().mean()
    right = (student.logits(test).argmax(1) == torch.from_numpy(splits["test"].labels)).float().mean()
    assert agree > 0.9
    assert right < 0.65


def test_distillation_loss_by_hand() -> None:
    student, teacher, heat = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 2.0
    p = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    by_hand = heat**2 * (p * np.log(p / 0.5)).sum()
    assert distillation_losses(student, teacher, heat).item() == pytest.approx(by_hand, rel=1e-6)


def test_what_cannot_be_made_is_refused() -> None:
    model = made()
    with pytest.raises(InputError, match="did you mean 'pruned'"):
        derive(model, "prune")
    with pytest.raises(InputError, match="below 1"):
        derive(model, "pruned", share=1.0)
    with pytest.raises(InputError, match="train"):
        derive(model, "distilled")
    with pytest.raises(InputError, match="temperature"):
        derive(model, "distilled", splits=rows(50), temperature=0)
    model.lacks = {"gradients": "a black box", "layers": "a black box"}
    with pytest.raises(InputError, match="a black box"):
        derive(model, "int8")
    embedding = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = Model(embedding, CLASSES, made().preprocessing, device=torch.device("cpu"))
    with pytest.raises(InputError, match="none to change"):
        derive(plain, "int8")


def test_an_int8_variant_goes_through_a_whole_audit(tmp_path) -> None:
    splits = rows(200)
    variant = derive(made((8,)), "int8")
    audit = ak.audit(
        variant, splits, out=tmp_path, attribution={"rows": 8}, energy={"seconds": 0.02, "blocks": 3},
        analyses=["performance", "fairness", "attribution", "activations"],
    )  # fmt: skip
    refused = audit.tables["attribution/methods"].to_pylist()
    gradient = [line for line in refused if "no gradient" in str(line)]
    assert gradient, "gradient methods are refused, with the reason"
    assert any("int8 weights are" in caveat.text for caveat in audit.caveats)
    assert any(row.metric == "accuracy" and row.status == "ok" for row in audit.rows)
