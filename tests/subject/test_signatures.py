"""Signatures: however a network takes its inputs and gives its outputs, the logits are its own."""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

import auditkit as ak
from auditkit.errors import InputError
from auditkit.spec import load_spec
from auditkit.subject.described import load_subject
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing, TextPreprocessing
from auditkit.subject.probabilities import as_logits

CLASSES = ["no", "yes"]
NAMES = ["a", "b"]
DRAWN = np.random.default_rng(0).normal(size=(30, 2))
FRAME = pd.DataFrame(DRAWN, columns=NAMES).assign(y=np.where(DRAWN.sum(axis=1) > 0, "yes", "no"))
MIXED = TablePreprocessing(
    numeric=(Numeric(name="a"), Numeric(name="b")), categorical=(Categorical(name="c", vocabulary=("x", "z")),)
)


class Whole(nn.Module):
    """Numbers and codes to logits; the ways of taking and giving are the subclasses'."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code = nn.Embedding(4, 3)
        self.last = nn.Linear(5, 2)

    def join(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.last(torch.cat([numbers, self.code(codes[:, 0])], dim=1))


class ByPosition(Whole):
    def forward(self, numbers, codes):
        return self.join(numbers, codes)


class ByName(Whole):
    def forward(self, *, codes, numbers):
        return self.join(numbers, codes)


class OneDict(Whole):
    def forward(self, batch):
        return self.join(batch["numbers"], batch["codes"])


class OneTuple(Whole):
    def forward(self, batch):
        numbers, codes = batch
        return self.join(numbers, codes)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (ByPosition, {}),
        (ByName, {"keywords": ["numbers", "codes"]}),
        (OneDict, {"keywords": ["numbers", "codes"], "takes": "dict"}),
        (OneTuple, {"takes": "tuple"}),
    ],
)
def test_inputs_are_given_as_they_are_taken(kind, given):
    model = ak.load_model(kind(), classes=CLASSES, preprocessing=MIXED, **given)
    split = ak.load_data(FRAME.assign(c=["x", "z", "?"] * 10), label="y", schema=model.schema)
    inputs = model.encode(split)
    with torch.no_grad():
        assert torch.equal(model.logits(inputs), Whole().join(*inputs))


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (ByName, {"keywords": ["numbers"]}, "1 keywords are given .* 2 input"),
        (ByName, {"keywords": ["numbers", "cods"]}, "does not take what its preprocessing gives"),
        (OneDict, {"takes": "dict"}, "keywords="),
        (ByPosition, {"takes": "frame"}, "as a dict or a tuple"),
        (ByPosition, {"output": "logits", "outputs": "margins"}, "logits or probabilities, not margins"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(kind, given, sentence):
    with pytest.raises(InputError, match=sentence):
        ak.load_model(kind(), classes=CLASSES, preprocessing=MIXED, **given)


class Masked(nn.Module):
    """The mean of word vectors where the mask says there is a word."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words = nn.Embedding(5, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, ids, mask):
        return self.last((self.words(ids) * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))


def test_a_mask_is_an_input_of_its_own():
    words = TextPreprocessing(column="text", vocabulary=("good", "bad", "film"), length=6)
    model = ak.load_model(Masked(), classes=CLASSES, preprocessing=words, keywords=["ids", "mask"])
    rows = pd.DataFrame({"text": ["good film", "bad", "good bad film good"], "y": ["yes", "no", "yes"]})
    split = ak.load_data(rows, label="y", schema=model.schema)
    net = Masked()
    with torch.no_grad():
        expected = [net.last(net.words(torch.tensor(ids)).mean(dim=0)) for ids in ([2, 4], [3], [2, 3, 4, 2])]
        assert torch.allclose(model.logits(model.encode(split)), torch.stack(expected), atol=1e-6)


class Pair(NamedTuple):
    hidden: Tensor
    scores: Tensor


@dataclass
class Record:
    hidden: Tensor
    logits: Tensor


GIVING = {
    "first": (lambda hidden, logits: (logits, hidden), None),
    "second": (lambda hidden, logits: [hidden, logits], 1),
    "named logits": (lambda hidden, logits: {"hidden": hidden, "logits": logits}, None),
    "by name": (lambda hidden, logits: {"hidden": hidden, "scores": logits}, "scores"),
    "by the place of a name": (lambda hidden, logits: {"hidden": hidden, "scores": logits}, 1),
    "named tuple": (Pair, "scores"),
    "dataclass": (Record, None),
    "nested": (lambda hidden, logits: (hidden, {"hidden": hidden, "logits": logits}), 1),
}


class Giving(nn.Module):
    def __init__(self, give) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.give = nn.Linear(2, 2), nn.Linear(2, 2), give

    def forward(self, rows):
        hidden = self.first(rows).relu()
        return self.give(hidden, self.last(hidden))


@pytest.mark.parametrize("way", list(GIVING))
def test_the_chosen_output_is_the_logits(way):
    give, output = GIVING[way]
    net = Giving(give)
    model = ak.load_model(net, classes=CLASSES, features=NAMES, output=output)
    rows = torch.randn(7, 2)
    with torch.no_grad():
        assert torch.equal(model.logits((rows,)), net.last(net.first(rows).relu()))


@pytest.mark.parametrize(
    ("give", "output", "sentence"),
    [
        (lambda hidden, logits: {"hidden": hidden, "scores": logits}, "score", "did you mean 'scores'"),
        (lambda hidden, logits: (hidden, logits), 2, "no output 2"),
        (lambda hidden, logits: (hidden, logits), "logits", "no output 'logits'"),
        (lambda hidden, logits: None, None, "gives NoneType"),
        (lambda hidden, logits: {}, None, "no tensor of logits"),
    ],
)
def test_an_output_that_is_not_there_is_refused(give, output, sentence):
    with pytest.raises(InputError, match=sentence):
        ak.load_model(Giving(give), classes=CLASSES, features=NAMES, output=output)


class Ended(nn.Module):
    """Two layers and an end."""

    def __init__(self, outputs: int, end: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs))
        self.end = end

    def forward(self, rows: Tensor) -> Tensor:
        scores = self.layers(rows) * 2
        if self.end == "softmax":
            return scores.softmax(dim=1)
        if self.end == "log softmax":
            return scores.log_softmax(dim=1)
        if self.end == "sigmoid":
            return scores.sigmoid()
        if self.end == "flat sigmoid":
            return scores.sigmoid()[:, 0]
        return scores


def kept(net: nn.Module, form: str, folder):
    """A network in a file of one format, as torch writes it."""
    rows = torch.export.Dim("rows")
    if form == "live":
        return net
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if form == "trace":
            torch.jit.trace(net, torch.zeros(4, 2)).save(str(folder / "net.ts"))
            return folder / "net.ts"
        if form == "export":
            torch.export.save(
                torch.export.export(net, (torch.zeros(4, 2),), dynamic_shapes=({0: rows},)), folder / "net.pt2"
            )
            return folder / "net.pt2"
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        path = folder / "net.onnx"
        torch.onnx.export(net, (torch.zeros(4, 2),), str(path), dynamo=True, dynamic_shapes=({0: rows},), verbose=False)
        return path


ENDS = [(2, "none"), (3, "none"), (1, "none"), (2, "softmax"), (3, "softmax"), (3, "log softmax"), (1, "sigmoid"),
        (1, "flat sigmoid")]  # fmt: skip
CASES = [(outputs, end, form) for outputs, end in ENDS for form in ("live", "trace")] + [
    (outputs, end, form)
    for outputs, end in ((1, "none"), (1, "sigmoid"), (3, "softmax"))
    for form in ("export", "onnx")
]


@pytest.mark.parametrize(("outputs", "end", "form"), CASES)
def test_probabilities_are_the_networks_own_in_every_format(outputs, end, form, tmp_path):
    net = Ended(outputs, end).eval()
    classes = ["no", "yes", "perhaps"][: max(2, outputs)]
    model = ak.load_model(kept(net, form, tmp_path), classes=classes, features=NAMES)
    rows = torch.from_numpy(DRAWN.astype(np.float32))
    with torch.no_grad():
        scores = net.layers(rows) * 2
        expected = scores.softmax(dim=1) if outputs > 1 else torch.cat([1 - scores.sigmoid(), scores.sigmoid()], dim=1)
        logits = model.logits((rows,))
    assert torch.allclose(logits.softmax(dim=1), expected, atol=1e-5)
    if outputs == 1:
        assert (logits[:, 0] == 0).all()
        assert torch.allclose(logits[:, 1:], scores, atol=1e-4)
    assert ("scale" in model.lacks) == (end in ("softmax", "log softmax"))
    told = [caveat for caveat in model.caveats if "converted" not in caveat.text]
    assert len(told) == (end != "none")


def test_gradients_reach_through_probabilities():
    model = ak.load_model(Ended(2, "softmax"), classes=CLASSES, features=NAMES)
    rows = torch.randn(5, 2, requires_grad=True)
    (found,) = torch.autograd.grad(model.logits((rows,))[:, 1].sum(), rows)
    again = rows.detach().requires_grad_()
    (expected,) = torch.autograd.grad((model.module.layers(again) * 2).log_softmax(dim=1)[:, 1].sum(), again)
    assert torch.allclose(found, expected, atol=1e-5)


def test_certain_answers_stay_finite():
    assert torch.isfinite(as_logits(torch.tensor([[0.0, 1.0]]))).all()
    assert torch.isfinite(as_logits(torch.tensor([[0.0], [1.0]]))).all()


def test_the_callers_word_decides():
    single = Ended(1, "sigmoid")
    model = ak.load_model(single, classes=CLASSES, features=NAMES, outputs="logits")
    rows = torch.randn(5, 2)
    with torch.no_grad():
        assert torch.equal(model.logits((rows,))[:, 1:], single(rows))
    assert model.caveats == ()
    with pytest.raises(InputError, match="was to give probabilities"):
        ak.load_model(Ended(2, "none"), classes=CLASSES, features=NAMES, outputs="probabilities")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("outputs", [1, 2])
def test_logits_are_never_taken_for_probabilities(seed, outputs):
    torch.manual_seed(seed)
    for net in (
        nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, outputs)),
        nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, outputs)),
        nn.Linear(2, outputs),
    ):
        assert ak.load_model(net, classes=CLASSES, features=NAMES).gives == "logits"


class Kept(Whole):
    """One that a bundle can name: takes a dict, gives several outputs."""

    def forward(self, batch):
        return {"numbers": batch["numbers"], "scores": self.join(batch["numbers"], batch["codes"])}


@pytest.mark.parametrize("output", ["scores", 1])
def test_a_bundle_keeps_the_signature(output, tmp_path):
    model = ak.load_model(
        Kept(), classes=CLASSES, preprocessing=MIXED, keywords=["numbers", "codes"], takes="dict", output=output
    )
    (tmp_path / "kept_signature.py").write_text(
        "import torch\nfrom torch import nn\nclass Kept(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.code, self.last = nn.Embedding(4, 3), nn.Linear(5, 2)\n"
        "    def forward(self, batch):\n"
        "        joined = torch.cat([batch['numbers'], self.code(batch['codes'][:, 0])], dim=1)\n"
        "        return {'numbers': batch['numbers'], 'scores': self.last(joined)}\n"
    )
    model.architecture = {"path": "kept_signature:Kept", "arguments": {}}
    ak.save_bundle(model, tmp_path / "bundle")
    again = ak.load_model(tmp_path / "bundle", architecture="kept_signature:Kept", near=tmp_path)
    inputs = (torch.randn(4, 2), torch.tensor([[0], [1], [2], [1]]))
    with torch.no_grad():
        assert torch.equal(again.logits(inputs), model.logits(inputs))


@pytest.mark.parametrize("output", ["scores", 1])
def test_audit_yaml_says_it_too(output, tmp_path):
    (tmp_path / "several_outputs.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.last = nn.Linear(2, 2)\n"
        "    def forward(self, *, rows):\n        return {'rows': rows, 'scores': self.last(rows)}\n"
    )
    torch.manual_seed(0)
    last = nn.Linear(2, 2)
    save_file({f"last.{name}": part for name, part in last.state_dict().items()}, tmp_path / "net.safetensors")
    FRAME.to_csv(tmp_path / "test.csv", index=False)
    content = {"model": "net.safetensors", "architecture": "several_outputs:Net", "keywords": ["rows"],
               "output": output, "data": {"test": "test.csv"},
               "columns": {"label": "y", "classes": CLASSES, "features": NAMES}}  # fmt: skip
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(content))
    model = load_subject(load_spec(tmp_path / "audit.yaml"), tmp_path).model
    rows = torch.randn(4, 2)
    with torch.no_grad():
        assert torch.allclose(model.logits((rows,)), last(rows))


def test_onnx_outputs_are_chosen_by_name_or_place(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = Giving(lambda hidden, logits: (hidden, logits)).eval()
    rows, path = torch.export.Dim("rows"), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(4, 2),), str(path), dynamo=True, dynamic_shapes=({0: rows},), verbose=False,
            output_names=["hidden", "scores"],
        )  # fmt: skip
    given = torch.randn(3, 2)
    for output in ("scores", 1):
        model = ak.load_model(path, classes=CLASSES, features=NAMES, output=output)
        with torch.no_grad():
            assert torch.allclose(model.logits((given,)), net(given)[1], atol=1e-6)
