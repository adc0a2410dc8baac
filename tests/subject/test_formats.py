"""Networks from files of other formats: the same logits as the original, and nothing in a file is ever run."""

import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from auditkit.errors import InputError
from auditkit.subject.formats import is_network_file, kind_of, open_network
from auditkit.subject.formats.checkpoint import load_checkpoint
from auditkit.subject.formats.exported import load_exported
from auditkit.subject.formats.program import in_batches, limits_of
from auditkit.subject.formats.torchscript import load_torchscript
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Numeric, TablePreprocessing
from auditkit.training.architectures.cnn import CNN
from auditkit.training.architectures.mlp import MLP

OWN = "auditkit.training.architectures."
NETWORKS = {
    "numbers": (MLP, OWN + "mlp:MLP", {"numeric": 5, "categories": [], "classes": 2, "hidden": [8, 6]}),
    "mixed": (MLP, OWN + "mlp:MLP", {"numeric": 3, "categories": [4, 6], "classes": 2, "hidden": [8]}),
    "pictures": (CNN, OWN + "cnn:CNN", {"shape": [1, 8, 8], "classes": 4, "widths": [4, 6]}),
}


def network(name: str) -> nn.Module:
    """A network whose batch norms have seen data, in eval mode."""
    kind, _, arguments = NETWORKS[name]
    torch.manual_seed(0)
    made = kind(**arguments)
    with torch.no_grad():
        for _ in range(3):
            made(*inputs(name, 16))
    return made.eval()


def inputs(name: str, rows: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(rows)
    if name == "pictures":
        return (torch.randn(rows, 1, 8, 8, generator=generator),)
    numbers = torch.randn(rows, 5 if name == "numbers" else 3, generator=generator)
    if name == "numbers":
        return (numbers,)
    return numbers, torch.randint(0, 4, (rows, 2), generator=generator)


def dynamic(name: str):
    batch = torch.export.Dim("batch")
    each = tuple({0: batch} for _ in inputs(name, 2))
    return each if name == "pictures" else (each,)  # MLP.forward takes *inputs


def save(name: str, form: str, folder) -> tuple:
    """The network written in one format: (path, arguments that open_network needs)."""
    made, given = network(name), inputs(name, 4)
    _, path, arguments = NETWORKS[name]
    if form == "safetensors":
        save_file(made.state_dict(), folder / "net.safetensors")
        return folder / "net.safetensors", (path, arguments)
    if form in ("pt", "pth", "ckpt", "bin"):
        torch.save(made.state_dict(), folder / f"net.{form}")
        return folder / f"net.{form}", (path, arguments)
    if form == "legacy":
        torch.save(made.state_dict(), folder / "net.pt", _use_new_zipfile_serialization=False)
        return folder / "net.pt", (path, arguments)
    if form in ("trace", "script"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.trace(made, given) if form == "trace" else torch.jit.script(made)
            script.save(str(folder / "net.pt"))
        return folder / "net.pt", ()
    if form.startswith("onnx"):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                made,
                given,
                str(folder / "net.onnx"),
                dynamo=True,
                dynamic_shapes=dynamic(name),
                external_data=form != "onnx in one file",
                verbose=False,
            )
        return folder / "net.onnx", ()
    program = torch.export.export(made, given, dynamic_shapes=dynamic(name) if form == "export" else None)
    torch.export.save(program, folder / "net.pt2")
    return folder / "net.pt2", ()


FORMS = [
    "safetensors",
    "pt",
    "pth",
    "ckpt",
    "bin",
    "legacy",
    "trace",
    "export",
    "fixed export",
    "onnx",
]
CASES = [(name, form) for name in NETWORKS for form in FORMS] + [
    ("pictures", "script"),
    ("numbers", "onnx in one file"),
]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_logits_are_the_original_networks(name, form, tmp_path):
    path, given = save(name, form, tmp_path)
    assert is_network_file(path)
    loaded, original = open_network(path, *given), network(name)
    assert not loaded.training
    for rows in (1, 4, 11):
        with torch.no_grad():
            expected, found = original(*inputs(name, rows)), loaded(*inputs(name, rows))
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "form"), [(n, f) for n in NETWORKS for f in ("safetensors", "trace", "export", "fixed export", "onnx")]
)
def test_gradients_to_inputs_are_the_original_networks(name, form, tmp_path):
    path, given = save(name, form, tmp_path)
    gradients = []
    for net in (network(name), open_network(path, *given)):
        first, *others = inputs(name, 7)
        first.requires_grad_()
        gradients.append(torch.autograd.grad(net(first, *others)[:, 1].sum(), first)[0])
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(*gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["trace", "export", "fixed export", "onnx"])
def test_a_program_passes_through_evaluating_and_is_left_as_found(form, tmp_path):
    path, _ = save("numbers", form, tmp_path)
    loaded = open_network(path)
    flags = [parameter.requires_grad for parameter in loaded.parameters()]
    features = tuple(Numeric(name=f"x{place}") for place in range(5))
    cpu = torch.device("cpu")
    model = Model(loaded, ("no", "yes"), TablePreprocessing(numeric=features), device=cpu)
    loaded.train()
    with model.evaluating(), torch.no_grad():
        found = model.logits(inputs("numbers", 3))
    assert torch.allclose(found, network("numbers")(*inputs("numbers", 3)), atol=1e-5)
    assert [parameter.requires_grad for parameter in loaded.parameters()] == flags
    if form != "onnx":  # exporting folds batch norms
        assert model.parameters == sum(p.numel() for p in network("numbers").parameters())


def kept(seen, name, _module, given, made) -> None:
    seen.append((name, given[0].detach(), made.detach()))


@pytest.mark.parametrize("form", ["export", "trace"])
def test_a_programs_modules_are_put_back(form, tmp_path):
    for name in NETWORKS:
        path, _ = save(name, form, tmp_path)
        loaded, original = open_network(path), network(name)
        seen: dict[str, list] = {"loaded": [], "original": []}
        kinds = (nn.Linear, nn.Conv2d, nn.ReLU, nn.BatchNorm1d, nn.BatchNorm2d, nn.Embedding)
        for key, net in (("original", original), ("loaded", loaded)):
            for layer_name, layer in net.named_modules():
                if isinstance(layer, kinds):
                    keep = partial(kept, seen[key], layer_name)
                    layer.register_forward_hook(keep)
            with torch.no_grad():
                net(*inputs(name, 5))
        assert [n for n, _, _ in seen["loaded"]] == [n for n, _, _ in seen["original"]]
        for (_, given, made), (_, expected_given, expected_made) in zip(*seen.values(), strict=True):
            assert torch.allclose(given.float(), expected_given.float(), atol=1e-6)
            assert torch.allclose(made, expected_made, atol=1e-6)
        assert limits_of(loaded) == {}
        assert {n: tuple(p.shape) for n, p in loaded.named_parameters()} == {
            n: tuple(p.shape) for n, p in original.named_parameters()
        }


class Shared(nn.Module):
    """One weight used in two ways: as a layer with a bias, and without."""

    def __init__(self):
        super().__init__()
        self.square = nn.Linear(4, 4)
        self.scaled = nn.Linear(4, 2)
        self.scaled.gain = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        x = nn.functional.linear(self.square(x), self.square.weight)
        return self.scaled(self.square(x)) * self.scaled.gain


def test_an_operator_that_was_no_module_stays_one(tmp_path):
    torch.manual_seed(0)
    net, given = Shared().eval(), torch.randn(5, 4)
    program = torch.export.export(net, (given,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = load_exported(tmp_path / "net.pt2")
    assert torch.allclose(loaded(given), net(given), atol=1e-6)
    assert [name for name, layer in loaded.named_modules() if isinstance(layer, nn.Linear)] == ["square"]


class InPlace(nn.Module):
    """A result that nobody reads, of an operator that changes its input."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = x * 2
        x.relu_()
        return self.head(x)


def test_operators_in_place_keep_their_effect(tmp_path):
    torch.manual_seed(0)
    net, given = InPlace().eval(), torch.randn(5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, given).save(tmp_path / "net.pt")
    loaded = load_torchscript(tmp_path / "net.pt")
    assert torch.allclose(loaded(given), net(given), atol=1e-6)
    assert "head" in dict(loaded.named_modules())


def test_programs_without_layers_show_none_and_say_so(tmp_path):
    for form in ("script", "fixed export"):
        path, _ = save("pictures", form, tmp_path)
        loaded = open_network(path)
        assert [name for name, _ in loaded.named_modules()] == [""]
        assert "layers" in limits_of(loaded)
        assert "gradients" not in limits_of(loaded)


def test_the_program_is_part_of_a_models_identity(tmp_path):
    digests = set()
    for form in ("trace", "export", "fixed export", "onnx"):
        path, _ = save("numbers", form, tmp_path)
        again = [open_network(path).state_dict()["sha256"] for _ in range(2)]
        assert torch.equal(*again)
        digests.add(bytes(again[0].tolist()))
    assert len(digests) == 4


def test_exported_inputs_of_another_shape_are_refused(tmp_path):
    path, _ = save("mixed", "export", tmp_path)
    with pytest.raises(InputError, match=r"takes inputs of shape \(n, 3\), \(n, 2\), and was given \(2, 4\), \(2, 2\)"):
        load_exported(path)(torch.zeros(2, 4), torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="was given"):
        load_exported(path)(torch.zeros(2, 3))


def test_a_program_exported_in_training_mode_is_refused(tmp_path):
    torch.export.save(torch.export.export(network("numbers").train(), inputs("numbers", 4)), tmp_path / "net.pt2")
    with pytest.raises(InputError, match="training mode"):
        load_exported(tmp_path / "net.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network("numbers").train(), inputs("numbers", 4), check_trace=False).save(tmp_path / "net.pt")
    with pytest.raises(InputError, match="training mode"):
        load_torchscript(tmp_path / "net.pt")


def test_rows_are_fed_in_the_sizes_a_program_takes():
    sizes = []

    def run(x):
        sizes.append(len(x))
        return {"y": x * 2, "z": (x,)}

    found = in_batches(run, (torch.arange(7),), 3, 3)
    assert sizes == [3, 3, 3]
    assert found["y"].tolist() == list(range(0, 14, 2))
    assert found["z"][0].tolist() == list(range(7))
    sizes.clear()
    assert in_batches(run, (torch.arange(1),), 2, None)["y"].tolist() == [0]
    assert sizes == [2]


# checkpoints

STRAIGHT = {"numeric": 5, "categories": [], "classes": 2, "hidden": [8, 6]}


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "_orig_mod.", "module._orig_mod.", "model._orig_mod."])
@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_wrapped_checkpoints_are_unwrapped(prefix, key, tmp_path):
    state = {prefix + name: tensor for name, tensor in network("numbers").state_dict().items()}
    content = state if key is None else {"epoch": 3, key: state, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "net.ckpt")
    loaded = load_checkpoint(tmp_path / "net.ckpt", OWN + "mlp:MLP", STRAIGHT)
    assert torch.equal(loaded(*inputs("numbers", 3)), network("numbers")(*inputs("numbers", 3)))


def test_weights_that_do_not_fit_are_told_by_name(tmp_path):
    state = network("numbers").state_dict()
    lacking = {name: value for name, value in state.items() if name != "head.bias"}
    for changed, said in (
        (lacking, "lacks 'head.bias'"),
        ({**state, "extra": torch.zeros(1)}, "holds 'extra', which the network does not have"),
        ({**state, "head.bias": torch.zeros(7)}, r"another shape: 'head.bias' is \(7,\), not \(2,\)"),
    ):
        save_file(changed, tmp_path / "net.safetensors")
        with pytest.raises(InputError, match=said):
            load_checkpoint(tmp_path / "net.safetensors", OWN + "mlp:MLP", STRAIGHT)
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "net.pt")
    with pytest.raises(InputError, match="no weights found"):
        load_checkpoint(tmp_path / "net.pt", OWN + "mlp:MLP", STRAIGHT)
    with pytest.raises(InputError, match="cannot be built"):
        load_checkpoint(tmp_path / "net.safetensors", OWN + "mlp:MLP", {"numeric": 5})
    with pytest.raises(InputError, match="the network must be named too"):
        open_network(tmp_path / "net.safetensors")


def header(content: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
LIES = {
    "empty": b"",
    "short": b"\x01",
    "length beyond the file": header({"a": ONE}, bytes(8), 10_000),
    "a header of gigabytes": header({"a": ONE}, bytes(8), 8 * 2**30),
    "a length of 2^64 - 1": header({"a": ONE}, bytes(8), 2**64 - 1),
    "offsets beyond the file": header({"a": {**ONE, "data_offsets": [0, 800], "shape": [200]}}, bytes(8)),
    "truncated": header({"a": ONE}, bytes(5)),
    "overlapping": header({"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}}, bytes(12)),
    "twice the same bytes": header({"a": ONE, "b": ONE}, bytes(8)),
    "wrong size for the type": header({"a": {**ONE, "dtype": "F64"}}, bytes(8)),
    "wrong size for the shape": header({"a": {**ONE, "shape": [3]}}, bytes(8)),
    "a shape that overflows": header({"a": {**ONE, "shape": [2**62, 2**62]}}, bytes(8)),
    "a negative shape": header({"a": {**ONE, "shape": [-2]}}, bytes(8)),
    "offsets backwards": header({"a": {**ONE, "data_offsets": [8, 0]}}, bytes(8)),
    "an unknown type": header({"a": {**ONE, "dtype": "PICKLE"}}, bytes(8)),
    "bytes nobody claims": header({"a": ONE}, bytes(64)),
    "no JSON": header(b"not json", bytes(8)),
    "a list": header([1, 2], bytes(8)),
}


@pytest.mark.parametrize("lie", LIES)
def test_safetensors_with_lying_headers_are_refused(lie, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(LIES[lie])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_checkpoint(path, OWN + "mlp:MLP", STRAIGHT)


# what would run code


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def trapped(form: str, mark) -> bytes:
    """A file that would make `mark` if it were unpickled."""
    content = {"state_dict": {"head.bias": torch.zeros(2)}, "trap": Trap(mark)}
    buffer = io.BytesIO()
    if form in ("zip", "legacy"):
        torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
    elif form == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in ("storages", "tensors", "pickle"):
                raw = pickle.dumps(Trap(mark))
                entry = tarfile.TarInfo(name)
                entry.size = len(raw)
                archive.addfile(entry, io.BytesIO(raw))
    else:
        buffer.write(pickle.dumps(content))
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt", ".bin", ".pickle", ".pt2", ".ts", ".onnx"])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "tar"])
def test_a_malicious_pickle_is_refused_and_not_run(form, suffix, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / f"net{suffix}"
    path.write_bytes(trapped(form, mark))
    with pytest.raises(InputError) as refused:
        open_network(path, OWN + "mlp:MLP", STRAIGHT)
    assert not mark.exists()
    assert "\n" not in str(refused.value)
    if suffix in (".pt", ".ckpt") and form in ("zip", "legacy"):
        assert "mkdir" in str(refused.value)


def test_the_trap_would_work(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(trapped("zip", tmp_path / "mark"))
    torch.load(path, weights_only=False)
    assert (tmp_path / "mark").exists()


def repacked(path, change) -> None:
    """Rewrite an archive's members: change(name below the top folder, content) -> content, or None to drop it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            changed = change(name.partition("/")[2], content)
            if changed is not None:
                archive.writestr(name, changed)


@pytest.mark.parametrize("member", ["constants.pkl", "data.pkl"])
def test_a_pickle_within_torchscript_runs_no_python(member, tmp_path):
    path, _ = save("numbers", "trace", tmp_path)
    mark = tmp_path / "mark"
    repacked(path, lambda name, content: pickle.dumps(Trap(mark), protocol=2) if name == member else content)
    with pytest.raises(InputError, match="cannot load"):
        load_torchscript(path)
    assert not mark.exists()


class Writer(nn.Module):
    """TorchScript that writes a file when it is called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "written-by-torchscript")
        return x


class Mapper(nn.Module):
    """TorchScript that makes a file when it is called."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("made-by-torchscript", True, 2)


@pytest.mark.parametrize("kind", [Writer, Mapper])
def test_torchscript_that_touches_files_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(kind()).save("net.pt")
    with pytest.raises(InputError, match="which could reach files"):
        load_torchscript(tmp_path / "net.pt")
    assert sorted(os.listdir(tmp_path)) == ["net.pt"]


def described(change):
    """A change to the description of an exported program."""

    def apply(name, content):
        if name != "models/model.json":
            return content
        program = json.loads(content)
        change(program)
        return json.dumps(program).encode()

    return apply


def first_node(program):
    return program["graph_module"]["graph"]["nodes"][0]


def hostile_size(program):
    values = program["graph_module"]["graph"]["tensor_values"]
    size = next(s for v in values.values() for s in v["sizes"] if "as_expr" in s)
    size["as_expr"]["expr_str"] = "__import__('os').mkdir('mark')"


HOSTILE = {
    "an operator from os": lambda p: first_node(p).update(target="torch.os.mkdir"),
    "an operator from builtins": lambda p: first_node(p).update(target="_operator.__builtins__.eval"),
    "an operator that maps files": lambda p: first_node(p).update(target="torch.ops.aten.from_file.default"),
    "an extension": lambda p: first_node(p).update(target="#x:y"),
    "a size that is Python": hostile_size,
    "a name that is Python": lambda p: p["graph_module"]["graph"]["inputs"][-1]["as_tensor"].update(
        name="x=__import__('os').mkdir('mark')"
    ),
    "an argument name that is Python": lambda p: p["graph_module"]["module_call_graph"][0]["signature"].update(
        forward_arg_names=["x=__import__('os').mkdir('mark')"]
    ),
    "a tree of another class": lambda p: p["graph_module"]["module_call_graph"][0]["signature"].update(
        in_spec='[1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]'
    ),
    "a range that is Python": lambda p: p.update(range_constraints={"__import__('os')": {"min_val": 0, "max_val": 1}}),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_exported_program_that_could_run_code_is_refused(hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = save("pictures", "export", tmp_path)
    repacked(path, described(HOSTILE[hostile]))
    with pytest.raises(InputError, match="can be opened without running code"):
        load_exported(path)
    assert sorted(os.listdir(tmp_path)) == ["net.pt2"]


def test_guards_and_sample_inputs_are_never_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = save("pictures", "export", tmp_path)
    mark = tmp_path / "mark"
    guards = ["__import__('os').mkdir('mark') is None"]
    repacked(path, described(lambda program: program.update(guards_code=guards)))
    buffer = io.BytesIO()
    torch.save(((Trap(mark),), {}), buffer)
    repacked(path, lambda name, content: buffer.getvalue() if "sample_inputs" in name else content)
    given = inputs("pictures", 3)
    assert torch.allclose(load_exported(path)(*given), network("pictures")(*given), atol=1e-5)
    assert not mark.exists()


@pytest.mark.parametrize("where", ["weights", "constants"])
def test_pickled_weights_in_an_exported_program_are_refused(where, tmp_path):
    path, _ = save("pictures", "export", tmp_path)
    mark = tmp_path / "mark"

    def change(name, content):
        if name != f"data/{where}/model_{where}_config.json":
            return pickle.dumps(Trap(mark)) if name == "data/weights/weight_0" else content
        record = json.loads(content)
        entry = {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
        record["config"] = {**record["config"], "conv": {**entry, "path_name": "weight_0"}}
        if where == "constants":
            record["config"]["conv"]["path_name"] = "opaque_obj_0"
        return json.dumps(record).encode()

    repacked(path, change)
    with pytest.raises(InputError, match="stored as a pickle"):
        load_exported(path)
    assert not mark.exists()


def test_truncated_files_are_refused(tmp_path):
    for form in ("pt", "legacy", "trace", "export", "onnx"):
        path, given = save("numbers", form, tmp_path)
        whole = path.read_bytes()
        for part in (0, 10, len(whole) // 2, len(whole) - 30):
            path.write_bytes(whole[:part])
            with pytest.raises(InputError):
                open_network(path, *(given or (OWN + "mlp:MLP", STRAIGHT)))


def test_what_a_file_is_is_read_from_its_content(tmp_path):
    expected = {"safetensors": "checkpoint", "pt": "checkpoint", "legacy": "checkpoint", "trace": "torchscript"}
    for form, kind in {**expected, "export": "exported"}.items():
        path, _ = save("numbers", form, tmp_path)
        assert kind_of(path) == kind
    renamed = path.rename(tmp_path / "net.pth")
    assert kind_of(renamed) == "exported"
    with pytest.raises(InputError, match="no such file"):
        open_network(tmp_path / "absent.pt")
    assert np.all([not is_network_file(tmp_path), not is_network_file("rows.parquet")])
