"""ONNX files as torch networks: onnxruntime's outputs, torch's gradients, layers; what cannot be converted is told."""

import copy
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from auditkit.errors import InputError  # noqa: E402
from auditkit.subject.formats import onnx_layers  # noqa: E402
from auditkit.subject.formats.onnx import load_onnx  # noqa: E402
from auditkit.subject.formats.onnx_graph import ObstacleError, parse  # noqa: E402
from auditkit.subject.formats.onnx_network import Made, OnnxNetwork  # noqa: E402
from auditkit.subject.formats.program import limits_of  # noqa: E402
from auditkit.subject.model import Model  # noqa: E402
from auditkit.subject.preprocessing import Numeric, TablePreprocessing  # noqa: E402


class Mixed(nn.Module):
    """Numbers and categories, each with an embedding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(4, 3), nn.Embedding(6, 2)])
        self.net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        looked_up = [table(codes[:, place]) for place, table in enumerate(self.embeddings)]
        return self.net(torch.cat([x, *looked_up], dim=1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.second, self.after, self.pool = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(x)))
        return self.head(self.pool(self.act(x + self.after(self.second(x)))).flatten(1))


class Signal(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 4, 3, stride=2), nn.BatchNorm1d(4), nn.GELU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(16, 5),
            nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2),
        )  # fmt: skip


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.table(ids)).mean(dim=1))


class Recurrent(nn.Module):
    def __init__(self, kind: type, directions: int) -> None:
        super().__init__()
        self.cell = kind(3, 5, batch_first=True, bidirectional=directions == 2)
        self.head = nn.Linear(5 * directions, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


NETWORKS = {
    "mixed": (Mixed, lambda n, g: (torch.randn(n, 3, generator=g), torch.randint(0, 4, (n, 2), generator=g))),
    "residual": (Residual, lambda n, g: (torch.randn(n, 1, 8, 8, generator=g),)),
    "signal": (Signal, lambda n, g: (torch.randn(n, 2, 20, generator=g),)),
    "words": (Words, lambda n, g: (torch.randint(0, 11, (n, 6), generator=g),)),
    "lstm": (lambda: Recurrent(nn.LSTM, 2), lambda n, g: (torch.randn(n, 6, 3, generator=g),)),
    "gru": (lambda: Recurrent(nn.GRU, 1), lambda n, g: (torch.randn(n, 6, 3, generator=g),)),
}
LAYERS = {
    "mixed": ["embeddings.0", "embeddings.1", "net.0", "net.1", "net.3"],
    "residual": ["first", "act", "second", "head"],
    "signal": ["0", "2", "3", "5", "6", "7", "8"],
    "words": [
        "table",
        "block.norm1",
        "block.norm2",
        "block.linear1",
        "block.linear2",
        "head",
        "block.self_attn.out_proj",
    ],
    "lstm": ["cell", "head"],
    "gru": ["cell", "head"],
}  # fmt: skip
HEADS = {"mixed": "net.3", "signal": "8"}


def network(name: str) -> nn.Module:
    """A network with weights and batch norms that are not those of its birth."""
    torch.manual_seed(0)
    made = NETWORKS[name][0]()
    with torch.no_grad():
        for part in made.parameters():
            part.add_(0.1 * torch.randn_like(part))
        for _ in range(3):
            made(*given(name, 16, 1))
    return made.eval()


def given(name: str, rows: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return NETWORKS[name][1](rows, torch.Generator().manual_seed(seed))


def exported(name: str, dynamo: bool, folder, free: bool = True):
    made, example = network(name), given(name, 4)
    names = [f"input_{place}" for place in range(len(example))]
    settings: dict = {"input_names": names, "dynamo": dynamo, "verbose": False}
    if free and dynamo:
        settings["dynamic_shapes"] = tuple({0: torch.export.Dim("rows")} for _ in example)
        if name == "signal":
            settings["dynamic_shapes"] = ({0: torch.export.Dim("rows")},)
    elif free:
        settings["dynamic_axes"] = {one: {0: "rows"} for one in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made, example, str(folder / "net.onnx"), **settings)
    return folder / "net.onnx"


EXPORTED = [("mixed", True), ("residual", True), ("words", True), ("lstm", True)] + [(one, False) for one in NETWORKS]


@pytest.mark.parametrize(("name", "dynamo"), EXPORTED)
def test_an_exported_network_is_the_original(name, dynamo, tmp_path):
    loaded, original = load_onnx(exported(name, dynamo, tmp_path)), network(name)
    assert isinstance(loaded, OnnxNetwork)
    assert limits_of(loaded) == {}
    assert "onnxruntime's" in loaded.notes[0]
    for rows in (1, 7):
        with torch.no_grad():
            assert torch.allclose(loaded(*given(name, rows)), original(*given(name, rows)), atol=1e-5, rtol=0)
    modules = dict(loaded.named_modules())
    assert set(LAYERS[name]) <= set(modules)
    for layer, kind in ((layer, type(original.get_submodule(layer))) for layer in LAYERS[name]):
        assert issubclass(kind, type(modules[layer]))

    assert loaded.penultimate == HEADS.get(name, "head")
    assert torch.allclose(features(loaded, name), features(original, name), atol=1e-5)
    ours, theirs = (gradients(net, name) for net in (loaded, original))
    assert theirs.abs().sum() > 0
    assert torch.allclose(ours, theirs, atol=1e-5)


def features(net: nn.Module, name: str) -> torch.Tensor:
    """What goes into the last linear layer."""
    seen = []
    hook = net.get_submodule(HEADS.get(name, "head")).register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0].detach())
    )
    with torch.no_grad():
        net(*given(name, 5))
    hook.remove()
    return seen[0]


def gradients(net: nn.Module, name: str) -> torch.Tensor:
    """Of one logit, to the numbers that go in or, for ids, to their vectors."""
    inputs = given(name, 5)
    if inputs[0].is_floating_point():
        leaf = inputs[0].requires_grad_()
        return torch.autograd.grad(net(*inputs)[:, 1].sum(), leaf)[0]
    looked_up = []

    def keep(_module, _inputs, output):
        looked_up.append(output.detach().requires_grad_())
        return looked_up[0]

    hook = net.get_submodule("table").register_forward_hook(keep)
    found = torch.autograd.grad(net(*inputs)[:, 1].sum(), looked_up)[0]
    hook.remove()
    return found


def test_a_fixed_batch_size_is_lifted_where_the_network_takes_any(tmp_path):
    loaded = load_onnx(exported("residual", False, tmp_path, free=False))
    assert isinstance(loaded, OnnxNetwork)
    with torch.no_grad():
        assert torch.allclose(loaded(*given("residual", 9)), network("residual")(*given("residual", 9)), atol=1e-5)


def test_a_fixed_batch_size_that_stays_hides_the_layers_but_not_the_gradients(tmp_path):
    loaded = load_onnx(exported("lstm", False, tmp_path, free=False))
    assert set(limits_of(loaded)) == {"layers"}
    assert "batches of 4 rows" in limits_of(loaded)["layers"]
    with torch.no_grad():
        assert torch.allclose(loaded(*given("lstm", 9)), network("lstm")(*given("lstm", 9)), atol=1e-5)
    assert torch.allclose(gradients(loaded, "lstm"), gradients(network("lstm"), "lstm"), atol=1e-5)


FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def written(path, nodes, weights=None, inputs=(("x", FLOAT, ["n", 6]),), outputs=("y",), version=17, change=None):
    """A file of nodes, each (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(kind, reads, makes, name=f"{kind}_{at}", **more)
            for at, (kind, reads, makes, more) in enumerate(nodes)]  # fmt: skip
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(
        made, "graph", [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs], held,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


IMAGE = (("x", FLOAT, ["n", 2, 7, 8]),)
X = ["x"]
ONE_OPERATOR = {
    "gemm with factors": ([("Gemm", ["x", "w", "b"], ["y"], {"alpha": 0.5, "beta": 2.0})],
                          {"w": normal(6, 3), "b": normal(3)}),
    "matmul and add": ([("MatMul", ["x", "w"], ["p"], {}), ("Add", ["b", "p"], ["y"], {})],
                       {"w": normal(6, 3), "b": normal(3)}),
    "matmul and add of columns": (
        [("MatMul", ["x", "w"], ["p"], {}), ("Add", ["p", "b"], ["y"], {})], {"w": normal(6, 3), "b": normal(1, 1)}),
    "arithmetic": (
        [("Sub", ["x", "a"], ["b"], {}), ("Div", ["b", "a"], ["c"], {}), ("Pow", ["c", "two"], ["d"], {}),
         ("Neg", ["d"], ["e"], {}), ("Exp", ["e"], ["f"], {}), ("Erf", ["f"], ["g"], {}), ("Sqrt", ["g"], ["y"], {})],
        {"a": normal(6), "two": np.float32(2)}),
    "activations": (
        [("LeakyRelu", X, ["a"], {"alpha": 0.2}), ("Elu", ["a"], ["b"], {"alpha": 0.7}), ("Sigmoid", ["b"], ["c"], {}),
         ("Softplus", ["c"], ["d"], {}), ("HardSigmoid", ["d"], ["e"], {"alpha": 0.3}),
         ("Tanh", ["e"], ["y"], {})], {}),
    "softmax": ([("Softmax", X, ["a"], {"axis": 1}), ("LogSoftmax", ["a"], ["y"], {})], {}),
    "clip": ([("Clip", ["x", "low", "high"], ["a"], {}), ("Clip", ["a", "low"], ["y"], {})],
             {"low": np.float32(-0.5), "high": np.float32(1)}),
    "prelu": ([("PRelu", ["x", "s"], ["y"], {})], {"s": normal(6)}),
    "shapes": (
        [("Shape", X, ["s"], {}), ("Gather", ["s", "zero"], ["n"], {"axis": 0}),
         ("Unsqueeze", ["n", "first"], ["m"], {}),
         ("Concat", ["m", "rest"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["r"], {}),
         ("Transpose", ["r"], ["u"], {"perm": [0, 2, 1]}), ("Slice", ["u", "first", "two", "axis", "step"], ["v"], {}),
         ("Flatten", ["v"], ["y"], {})],
        {"zero": np.int64(0), "first": np.array([0]), "rest": np.array([3, 2]), "two": np.array([2]),
         "axis": np.array([2]), "step": np.array([1])}),
    "backwards": ([("Slice", ["x", "a", "b", "c", "d"], ["y"], {})],
                  {"a": np.array([-1]), "b": np.array([-100]), "c": np.array([1]), "d": np.array([-2])}),
    "split and concat": ([("Split", ["x", "s"], ["a", "b"], {"axis": 1}), ("Concat", ["b", "a"], ["y"], {"axis": -1})],
                         {"s": np.array([2, 4])}),
    "reductions": (
        [("ReduceMean", X, ["a"], {"axes": [1]}), ("Sub", ["x", "a"], ["b"], {}),
         ("ReduceSum", ["b", "one"], ["c"], {}),
         ("ReduceMax", ["b"], ["d"], {"axes": [-1], "keepdims": 1}), ("ReduceL2", ["b"], ["e"], {"axes": [1]}),
         ("Sum", ["c", "d", "e"], ["f"], {}), ("Max", ["f", "b"], ["y"], {})], {"one": np.array([1])}),
    "choices": ([("Greater", ["x", "a"], ["m"], {}), ("Not", ["m"], ["k"], {}), ("Where", ["k", "x", "a"], ["y"], {})],
                {"a": normal(6)}),
    "constants": (
        [("ConstantOfShape", ["s"], ["c"], {"value": numpy_helper.from_array(np.array([2.5], np.float32))}),
         ("Expand", ["c", "t"], ["d"], {}), ("Mul", ["x", "d"], ["e"], {}), ("Cast", ["e"], ["f"], {"to": 7}),
         ("Cast", ["f"], ["y"], {"to": 1})], {"s": np.array([1, 6]), "t": np.array([1, 6])}),
    "layer norm": ([("LayerNormalization", ["x", "w", "b"], ["y"], {"axis": -1})], {"w": normal(6), "b": normal(6)}),
    "places": ([("ArgMax", X, ["a"], {"axis": 1}), ("Gather", ["t", "a"], ["y"], {})], {"t": normal(6, 3)}),
    "dropout": ([("Dropout", X, ["y"], {})], {}),
    "tile and range": (
        [("Tile", ["x", "t"], ["a"], {}), ("Range", ["i", "j", "k"], ["r"], {}), ("Cast", ["r"], ["s"], {"to": 1}),
         ("Mul", ["a", "s"], ["y"], {})],
        {"t": np.array([1, 2]), "i": np.int64(0), "j": np.int64(12), "k": np.int64(1)}),
    "einsum": ([("Einsum", ["x", "w"], ["y"], {"equation": "ni,ij->nj"})], {"w": normal(6, 2)}),
}  # fmt: skip
ON_IMAGES = {
    "convolution, uneven": (
        [("Conv", ["x", "w", "b"], ["y"], {"pads": [0, 1, 2, 1], "strides": [2, 1], "dilations": [1, 2], "group": 2})],
        {"w": normal(4, 1, 3, 3), "b": normal(4)}),
    "transposed": ([("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2], "pads": [1, 1, 1, 1]})],
                   {"w": normal(2, 3, 3, 3)}),
    "batch norm": ([("BatchNormalization", ["x", "a", "b", "m", "v"], ["y"], {"epsilon": 0.01})],
                   {"a": normal(2), "b": normal(2), "m": normal(2), "v": normal(2) ** 2}),
    "instance norm": ([("InstanceNormalization", ["x", "a", "b"], ["y"], {})], {"a": normal(2), "b": normal(2)}),
    "largest": ([("MaxPool", X, ["y"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]})], {}),
    "average": ([("AveragePool", X, ["y"], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]})], {}),
    "global": ([("GlobalAveragePool", X, ["y"], {})], {}),
    "padded": ([("Pad", ["x", "p", "v"], ["a"], {}), ("Pad", ["a", "q"], ["y"], {"mode": "reflect"})],
               {"p": np.array([0, 0, 1, 0, 0, 0, 0, 2]), "v": np.float32(3), "q": np.array([0, 0, 0, 1, 0, 0, 2, 1])}),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ONE_OPERATOR, *ON_IMAGES])
def test_operators_are_onnxruntimes(name, tmp_path):
    flat = name in ONE_OPERATOR
    nodes, weights = ONE_OPERATOR[name] if flat else ON_IMAGES[name]
    path = written(tmp_path / "net.onnx", nodes, weights, (("x", FLOAT, ["n", 6]),) if flat else IMAGE)
    loaded = load_onnx(path)
    assert limits_of(loaded) == {}
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    x = normal(4, 6) if flat else normal(4, 2, 7, 8)
    with torch.no_grad():
        found = loaded(torch.from_numpy(x))
    assert np.allclose(found.numpy(), session.run(None, {"x": x})[0], atol=2e-6, rtol=1e-5)


def simple(path, **more):
    weights = {"fc.weight": normal(3, 6), "fc.bias": normal(3)}
    nodes = [("Gemm", ["x", "fc.weight", "fc.bias"], ["h"], {"transB": 1}), ("Relu", ["h"], ["y"], {})]
    return written(path, nodes, weights, **more)


def test_names_come_from_the_weights_or_the_nodes(tmp_path):
    loaded = load_onnx(simple(tmp_path / "net.onnx"))
    assert [(name, type(layer)) for name, layer in loaded.named_modules()][1:] == [
        ("fc", nn.Linear),
        ("Relu_1", nn.ReLU),
    ]


def test_names_that_torch_uses_itself_or_that_clash_are_made_others(tmp_path):
    words = ["forward.weight", "type.sub.weight", "type.weight", "..weight"]
    nodes = [
        ("Gemm", [["x", "a", "b", "c"][at], name], [["a", "b", "c", "y"][at]], {}) for at, name in enumerate(words)
    ]
    loaded = load_onnx(written(tmp_path / "net.onnx", nodes, {name: normal(6, 6) for name in words}))
    assert limits_of(loaded) == {}
    assert sum(isinstance(layer, nn.Linear) for layer in loaded.modules()) == 4


def test_layers_with_the_same_weights_by_chance_are_two(tmp_path):
    nodes = [("PRelu", ["x", "s"], ["a"], {}), ("Neg", ["a"], ["b"], {}), ("PRelu", ["b", "s"], ["y"], {})]
    loaded = load_onnx(written(tmp_path / "net.onnx", nodes, {"s": normal(1)}))
    assert [type(one) for one in loaded.modules()][1:] == [nn.PReLU, nn.PReLU]


def test_a_copy_is_a_network_of_its_own(tmp_path):
    loaded = load_onnx(simple(tmp_path / "net.onnx"))
    twin, x = copy.deepcopy(loaded), torch.randn(2, 6)
    before = loaded(x)
    with torch.no_grad():
        twin.get_submodule("fc").weight.zero_()
    assert torch.equal(loaded(x), before)
    assert not torch.equal(twin(x), before)


def test_it_is_a_model_with_head_caveat_and_digest(tmp_path):
    preprocessing = TablePreprocessing(numeric=tuple(Numeric(name=f"x{at}") for at in range(6)))
    digests = set()
    weights = {"fc.weight": np.ones((3, 6), np.float32), "fc.bias": np.ones(3, np.float32)}
    for kind in ("Relu", "Sigmoid", "Relu"):
        nodes = [("Gemm", ["x", "fc.weight", "fc.bias"], ["h"], {"transB": 1}), (kind, ["h"], ["y"], {})]
        loaded = load_onnx(written(tmp_path / "net.onnx", nodes, weights))
        model = Model(loaded, ("a", "b", "c"), preprocessing, device=torch.device("cpu"))
        assert model.head is loaded.get_submodule("fc")
        assert model.parameters == 21
        assert [(told.level, "converted" in told.text) for told in model.caveats] == [("note", True)]
        digests.add(model.digest)
    assert len(digests) == 2  # the program is part of what a model is


def test_several_outputs_go_by_name(tmp_path):
    nodes = [("Relu", X, ["up"], {}), ("Neg", X, ["down"], {})]
    loaded = load_onnx(written(tmp_path / "net.onnx", nodes, outputs=("up", "down")))
    found = loaded(torch.tensor([[-1.0] * 6]))
    assert {name: float(value[0, 0]) for name, value in found.items()} == {"up": 0.0, "down": 1.0}


def test_wrong_inputs_are_refused(tmp_path):
    loaded = load_onnx(simple(tmp_path / "net.onnx"))
    with pytest.raises(InputError, match="cannot run it on these inputs"):
        loaded(torch.zeros(3, 9))
    with pytest.raises(InputError, match="takes 1 inputs, and was given 2"):
        loaded(torch.zeros(3, 6), torch.zeros(3, 6))


def branch():
    result = helper.make_tensor_value_info("z", FLOAT, None)
    either, other = (
        helper.make_graph([helper.make_node(kind, ["x"], ["z"])], kind, [], [result]) for kind in ("Relu", "Neg")
    )
    return {"then_branch": either, "else_branch": other}


BLACK_BOXES = {
    "operator Hardmax is not known": [("Hardmax", X, ["y"], {})],
    "operator If is control flow": [("Cast", ["t"], ["c"], {"to": 9}), ("If", ["c"], ["y"], branch())],
    "operator Dropout is in training mode": [("Cast", ["t"], ["c"], {"to": 9}), ("Dropout", ["x", "", "c"], ["y"], {})],
    "operator CumSum is of a form that is not known": [("CumSum", ["x", "t"], ["y"], {"reverse": 1})],
}


@pytest.mark.parametrize("reason", BLACK_BOXES)
def test_what_cannot_be_converted_is_a_black_box_that_says_why(reason, tmp_path):
    loaded = load_onnx(written(tmp_path / "net.onnx", BLACK_BOXES[reason], {"t": np.int64(1)}))
    limits = limits_of(loaded)
    assert set(limits) == {"layers", "gradients"}
    assert all(reason in text for text in limits.values())
    assert loaded(torch.randn(3, 6)).shape == (3, 6)
    with pytest.raises(InputError, match="without gradients"):
        loaded(torch.randn(3, 6).requires_grad_())
    with pytest.raises(InputError, match="cannot run it on these inputs"):
        loaded(torch.zeros(3, 9, 2, 2).bool()[:, 0])


def test_a_conversion_that_answers_otherwise_is_not_used(tmp_path, monkeypatch):
    path = simple(tmp_path / "net.onnx")
    wrong = Made(onnx_layers.through, (0,), nn.LeakyReLU(0.001))
    monkeypatch.setitem(onnx_layers.LAYERS, "Relu", lambda _given: wrong)
    assert "differ by" in limits_of(load_onnx(path))["gradients"]


def test_without_the_package_onnx_it_is_a_black_box(tmp_path, monkeypatch):
    path = simple(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'auditkit[onnx]'" in limits_of(load_onnx(path))["layers"]


def stretch(model) -> None:
    model.graph.initializer[0].dims[0] = 2**40


def beyond(model) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")


def fewer(model) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.float_data.extend([1.0, 2.0])


def negative(model) -> None:
    model.graph.initializer[0].dims[:] = [-3, -6]


@pytest.mark.parametrize("change", [stretch, beyond, fewer, negative])
def test_tensors_that_lie_are_refused(change, tmp_path):
    path = simple(tmp_path / "net.onnx", change=change)
    with pytest.raises(ObstacleError):
        parse(path.read_bytes(), "net.onnx.data", b"12345678")
    with pytest.raises(InputError):
        load_onnx(path)


def test_weights_beside_are_read_from_where_they_say_and_no_further(tmp_path):
    numbers = normal(3, 6)

    def outside(model, start: str = "8") -> None:
        weight = model.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "net.onnx.data"), ("offset", start), ("length", str(numbers.nbytes))):
            weight.external_data.add(key=key, value=value)

    (tmp_path / "net.onnx.data").write_bytes(b"12345678" + numbers.tobytes())
    loaded = load_onnx(simple(tmp_path / "net.onnx", change=outside))
    assert torch.equal(loaded.get_submodule("fc").weight, torch.from_numpy(numbers))
    for start in ("9", "-1", str(2**62)):
        path = simple(tmp_path / "net.onnx", change=lambda model, start=start: outside(model, start))
        with pytest.raises(ObstacleError, match="outside of the file"):
            parse(path.read_bytes(), "net.onnx.data", b"12345678" + numbers.tobytes())


HUGE = {
    "filled": ([("ConstantOfShape", ["s"], ["c"], {}), ("Add", ["x", "c"], ["y"], {})],
               {"s": np.array([2**20, 2**20])}),
    "tiled": ([("Tile", ["x", "s"], ["y"], {})], {"s": np.array([2**20, 2**20])}),
    "expanded": ([("Expand", ["x", "s"], ["y"], {})], {"s": np.array([2**20, 2**20, 1, 6])}),
    "padded": ([("Pad", ["x", "s"], ["y"], {})], {"s": np.array([0, 0, 2**30, 2**30])}),
    "counted": ([("Range", ["a", "b", "c"], ["r"], {}), ("Cast", ["r"], ["y"], {"to": 1})],
                {"a": np.int64(0), "b": np.int64(2**50), "c": np.int64(1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_sizes_that_a_file_makes_up_are_bounded(name, tmp_path):
    graph = parse(written(tmp_path / "net.onnx", *HUGE[name]).read_bytes())
    with pytest.raises(ObstacleError, match=r"too large|has padding"):
        OnnxNetwork(graph, (torch.randn(3, 6),), (torch.float32,), "00" * 32, "net.onnx")
