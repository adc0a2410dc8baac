"""The methods against closed forms and against captum, and the contract every method keeps."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explicands import Explicands, PartAttribution, completeness_gap, explicands_of
from auditkit.attribution.grad_cam import last_convolution
from auditkit.attribution.integrated_gradients import integrated_gradients
from auditkit.attribution.method import example_inputs
from auditkit.attribution.registry import METHODS
from auditkit.attribution.settings import Settings
from auditkit.engine.ledger import Ledger
from auditkit.engine.rows import RowEngine
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, ImagePreprocessing, Numeric, TablePreprocessing

CPU = torch.device("cpu")
SCHEMA = Schema(features=(), classes=("no", "yes"), positive="yes")


class Function(nn.Module):
    """Any f of the numeric columns as the logit of the second of two classes."""

    def __init__(self, f) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)[:, None]


def numeric_split(values, role="test") -> Split:
    values = np.atleast_2d(np.asarray(values, dtype=float))
    table = pa.table({f"x{place}": values[:, place] for place in range(values.shape[1])})
    return Split(role, role, table, Schema(features=tuple(table.column_names), classes=("no", "yes"), positive="yes"))


def numeric_model(module: nn.Module, width: int) -> Model:
    columns = tuple(Numeric(name=f"x{place}") for place in range(width))
    return Model(module, ("no", "yes"), TablePreprocessing(numeric=columns), device=CPU)


def run(name: str, model: Model, split: Split, reference: Split | None = None, size: int | None = None, **settings):
    """(attribution, explicands, ledger) of every row of a split."""
    ledger = Ledger()
    with model.evaluating():
        engine = RowEngine(model, split, ledger, "attribution", size)
        explicands = explicands_of(engine, split, np.arange(len(split)), reference, 0)
        return METHODS[name].run(engine, explicands, Settings(**settings)), explicands, ledger


def of_function(name: str, f, point, **settings) -> np.ndarray:
    """Attributions of f at a point from a baseline of zeros."""
    found, _, _ = run(name, numeric_model(Function(f), len(point)), numeric_split(point), **settings)
    return found.values[0].numpy()


W = torch.tensor([2.0, -3.0, 0.5])
A = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
relu = torch.relu
IG, GXI, OCC = "integrated_gradients", "gradient_x_input", "occlusion"
CLOSED_FORMS = {
    "linear": (lambda x: x @ W + 7, (1, 2, 3), {IG: (2, -6, 1.5), GXI: (2, -6, 1.5), OCC: (2, -6, 1.5)}),
    "relu of relus": (
        lambda x: relu(relu(x[:, 0]) - 1 - relu(x[:, 1])),
        (3, 1),
        {IG: (1.5, -0.5), OCC: (1, -1)},
    ),
    "the same function, written otherwise": (
        lambda x: relu(relu(x[:, 0] - 1) - relu(x[:, 1])),
        (3, 1),
        {IG: (1.5, -0.5), OCC: (1, -1)},
    ),
    "maximum": (lambda x: x.amax(dim=1), (3, 1), {IG: (3, 0), OCC: (2, 0)}),
    "product": (lambda x: x.prod(dim=1), (2, 3, 4), {IG: (8, 8, 8), GXI: (24, 24, 24), OCC: (24, 24, 24)}),
    "quadratic form": (lambda x: ((x @ A) * x).sum(dim=1), (1, 2, 3), {IG: (4, 8, 3)}),
}


@pytest.mark.parametrize(
    ("case", "method"), [(case, method) for case, (_, _, known) in CLOSED_FORMS.items() for method in known]
)
def test_closed_forms(case, method):
    f, point, known = CLOSED_FORMS[case]
    np.testing.assert_allclose(of_function(method, f, point), known[method], atol=2e-6)


@pytest.mark.parametrize(("case", "steps"), [("quadratic form", 1), ("product", 2)])
def test_gauss_legendre_is_exact_with_one_step_on_quadratics_and_two_on_cubics(case, steps):
    f, point, known = CLOSED_FORMS[case]
    model, split = numeric_model(Function(f), 3), numeric_split(point)
    with model.evaluating():
        engine = RowEngine(model, split, Ledger(), "attribution")
        explicands = explicands_of(engine, split, np.arange(1), None, 0)
        found = integrated_gradients(engine, explicands, tolerance=1e-5, maximum_steps=steps)
    np.testing.assert_allclose(found.values[0], known[IG], atol=1e-5)
    assert found.steps.tolist() == [steps]


def test_bias_free_relu_net_gradient_x_input_equals_integrated_gradients():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 16, bias=False), nn.ReLU(), nn.Linear(16, 1, bias=False))
    split = numeric_split(np.random.default_rng(0).normal(size=(6, 5)))
    one, _, _ = run("gradient_x_input", numeric_model(net, 5), split)
    other, _, _ = run("integrated_gradients", numeric_model(net, 5), split)
    torch.testing.assert_close(one.values, other.values, atol=1e-5, rtol=1e-5)


class Mixed(nn.Module):
    """Two numbers and three categories, one embedding each, smooth so that an integral has a sharp value."""

    def __init__(self, shared: bool = False, outputs: int = 2) -> None:
        super().__init__()
        self.shared = shared
        self.embeddings = nn.ModuleList([nn.Embedding(12, 4)] if shared else [nn.Embedding(4, 4) for _ in range(3)])
        self.body = nn.Sequential(nn.Linear(14, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.5))
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        if self.shared:
            offset = torch.tensor([0, 4, 8])
            looked = self.embeddings[0](c + offset).flatten(1)
        else:
            looked = torch.cat([table(c[:, place]) for place, table in enumerate(self.embeddings)], dim=1)
        return self.head(self.body(torch.cat([x, looked], dim=1)))


def mixed_split(n=9, seed=0, role="test") -> Split:
    rng = np.random.default_rng(seed)
    columns = {f"x{place}": rng.normal(size=n) for place in range(2)}
    columns |= {f"c{place}": rng.choice(["a", "b", "c"], size=n) for place in range(3)}
    schema = Schema(features=tuple(columns), classes=("no", "yes"), positive="yes")
    return Split(role, role, pa.table(columns), schema)


def mixed_model(shared=False, seed=0) -> Model:
    torch.manual_seed(seed)
    module = Mixed(shared)
    module(torch.randn(64, 2), torch.randint(0, 4, (64, 3)))  # gives the batch norm statistics of its own
    preprocessing = TablePreprocessing(
        numeric=tuple(Numeric(name=f"x{place}") for place in range(2)),
        categorical=tuple(Categorical(name=f"c{place}", vocabulary=("a", "b", "c")) for place in range(3)),
    )
    return Model(module, ("no", "yes"), preprocessing, device=CPU)


def captum_tables(model: Model, split: Split, explicands: Explicands):
    """Captum on the same network cut open after its embeddings: [n, columns] for IG, ablation and input x gradient."""
    from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients

    module = model.module
    x, baseline = explicands.given.points, explicands.baseline.points

    def forward(*points: Tensor) -> Tensor:
        logits = module.head(module.body(torch.cat([part.flatten(1) for part in points], dim=1)))
        return logits[:, 1] - logits[:, 0]

    numbers = torch.arange(2)[None]
    masks = (numbers, *[torch.full((1, 4), 2 + place) for place in range(3)])

    def columns(parts) -> Tensor:
        return torch.cat([parts[0], *[part.sum(dim=1, keepdim=True) for part in parts[1:]]], dim=1).detach()

    with model.evaluating():
        exact = columns(IntegratedGradients(forward).attribute(x, baselines=baseline, n_steps=256))
        ablated = FeatureAblation(forward).attribute(x, baselines=baseline, feature_mask=masks)
        ablated = torch.cat([ablated[0], *[part[:, :1] for part in ablated[1:]]], dim=1)
        shifted = tuple((part - start).requires_grad_() for part, start in zip(x, baseline, strict=True))
        at = InputXGradient(lambda *s: forward(*[a + b for a, b in zip(s, baseline, strict=True)]))
        return exact, columns(at.attribute(shifted)), ablated


def test_tables_agree_with_captum():
    model, split, reference = mixed_model(), mixed_split(), mixed_split(40, 1, "train")
    found = {name: run(name, model, split, reference, tolerance=1e-6) for name in list(METHODS)[:3]}
    explicands = found["occlusion"][1]
    oracle = captum_tables(model, split, explicands)
    for (attribution, _, _), expected in zip(found.values(), oracle, strict=True):
        torch.testing.assert_close(attribution.values.float(), expected, atol=2e-5, rtol=1e-4)


def test_a_shared_embedding_is_divided_among_its_columns():
    """The same weights, once in one embedding per column and once in one table with offsets, explain alike."""
    apart, together = mixed_model(), mixed_model(shared=True)
    together.module.embeddings[0].weight.data = torch.cat([part.weight.data for part in apart.module.embeddings])
    together.module.body.load_state_dict(apart.module.body.state_dict())
    together.module.head.load_state_dict(apart.module.head.state_dict())
    split, reference = mixed_split(), mixed_split(40, 1, "train")
    for name in list(METHODS)[:3]:
        one, two = (run(name, model, split, reference)[0].values for model in (apart, together))
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Multiple layers provided")
def test_layer_integrated_gradients_of_captum_agrees_per_embedding():
    from captum.attr import LayerIntegratedGradients

    model = mixed_model()
    for part in model.module.embeddings:  # code 0 must be the zero vector for both paths to start in the same place
        part.weight.data[0] = 0
    # captum leaves the numbers at their own values along the path, so rows whose numbers are zero are compared
    at_zero = mixed_split()
    table = at_zero.table.set_column(0, "x0", pa.array(np.zeros(9))).set_column(1, "x1", pa.array(np.zeros(9)))
    at_zero = Split("test", "test", table, at_zero.schema)
    with model.evaluating() as module:

        def forward(x: Tensor, c: Tensor) -> Tensor:
            logits = module(x, c)
            return logits[:, 1] - logits[:, 0]

        inputs, layers = model.encode(at_zero), list(module.embeddings)
        zeros = tuple(torch.zeros_like(part) for part in inputs)
        found = LayerIntegratedGradients(forward, layers).attribute(inputs, baselines=zeros, n_steps=256)
        ours, _, _ = run("integrated_gradients", model, at_zero, tolerance=1e-6)
    expected = torch.stack([part.sum(dim=-1) for part in found], dim=1).detach()
    torch.testing.assert_close(ours.values[:, 2:].float(), expected, atol=2e-5, rtol=1e-4)


class Pictures(nn.Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


def picture_subject(n=5, side=6, inplace=False) -> tuple[Model, Split, Split]:
    torch.manual_seed(1)
    model = Model(Pictures(inplace), ("a", "b", "c"), ImagePreprocessing(shape=(2, side, side)), device=CPU)
    schema = Schema(features=("images",), classes=("a", "b", "c"))
    rng = np.random.default_rng(0)

    def split(role, count):
        images = rng.normal(size=(count, 2, side, side)).astype(np.float32)
        return Split(role, role, pa.table({"id": np.arange(count)}), schema, {"images": images})

    return model, split("test", n), split("train", 20)


def test_pictures_agree_with_captum():
    from captum.attr import InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion

    model, split, reference = picture_subject()
    compared = ("integrated_gradients", "gradient_x_input", "occlusion", "grad_cam")
    found = {name: run(name, model, split, reference, tolerance=1e-4) for name in compared}
    explicands = found["occlusion"][1]
    (x,), (b,) = explicands.given.points, explicands.baseline.points
    target = torch.from_numpy(explicands.predictions)
    with model.evaluating() as module:
        exact = IntegratedGradients(module).attribute(
            x, baselines=b, target=target, n_steps=300, internal_batch_size=300
        )
        windows = Occlusion(module).attribute(x, (2, 1, 1), baselines=b.expand_as(x), target=target)
        slope = InputXGradient(lambda s: module(s + b)).attribute((x - b).requires_grad_(), target=target)
        cam = LayerGradCam(module, module.body[2]).attribute(x, target=target, relu_attributions=True)
        cam = LayerAttribution.interpolate(cam, (6, 6), "bilinear").detach()
    torch.testing.assert_close(
        found["integrated_gradients"][0].maps.float(), exact.float().sum(dim=1), atol=2e-4, rtol=1e-2
    )
    torch.testing.assert_close(found["occlusion"][0].maps.float(), windows[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        found["gradient_x_input"][0].maps.float(), slope.detach().sum(dim=1), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(found["grad_cam"][0].maps.float(), cam[:, 0], atol=1e-5, rtol=1e-4)


def test_grad_cam_of_convolution_relu_pooling_linear_is_the_class_activation_map():
    """With global average pooling behind the layer, Grad-CAM is CAM / (H W), rectified."""
    model, split, _ = picture_subject()
    module = model.module
    module.body = module.body[:3]  # the convolution's own output is pooled
    found, explicands, _ = run("grad_cam", model, split)
    with torch.no_grad():
        maps = module.body(explicands.given.points[0])
        weights = module.head.weight[torch.from_numpy(explicands.predictions)]
        expected = (torch.einsum("nchw,nc->nhw", maps, weights) / 36).relu()
    torch.testing.assert_close(found.maps.float(), expected, atol=1e-6, rtol=1e-5)
    assert not found.values.requires_grad


def test_in_place_activations_change_nothing():
    plain, split, reference = picture_subject()
    inplace, _, _ = picture_subject(inplace=True)
    for name in ("integrated_gradients", "gradient_x_input", "occlusion"):
        one, two = (run(name, model, split, reference)[0].values for model in (plain, inplace))
        torch.testing.assert_close(one, two)


def subjects():
    return {"table": (mixed_model(), mixed_split(), mixed_split(40, 1, "train")), "picture": picture_subject()}


BY_DESIGN = {("picture", "exact_shapley"), ("table", "interventional_shapley"), ("picture", "interventional_shapley")}
"""too many parts for all coalitions; no background, which audits do not give"""


def contract() -> list[tuple[str, str]]:
    """Every kind of subject with every method that may be used on it."""
    return [
        (kind, name)
        for kind, (model, _, _) in subjects().items()
        for name, method in METHODS.items()
        if (kind, name) not in BY_DESIGN and method.valid_for(model, example_inputs(model)).status != "refused"
    ]


CONTRACT = contract()


def test_most_methods_are_held_to_the_contract() -> None:
    names = {name for _, name in CONTRACT}
    assert {"integrated_gradients", "occlusion", "grad_cam", "kernel_shap", "permutation_shapley", "deep_lift"} < names
    assert len(CONTRACT) > len(METHODS)


@pytest.mark.parametrize(("kind", "name"), CONTRACT)
def test_batch_size_does_not_matter(kind, name):
    model, split, reference = subjects()[kind]
    whole = run(name, model, split, reference)[0]
    for size in (1, 2, 7):
        part = run(name, model, split, reference, size=size)[0]
        torch.testing.assert_close(part.values, whole.values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "name"), CONTRACT)
def test_the_model_is_left_as_it_was_found(kind, name):
    model, split, reference = subjects()[kind]
    module = model.module.train()
    next(module.parameters()).requires_grad_(False)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    assert METHODS[name].valid_for(model, example_inputs(model)).status in ("valid", "degraded")
    found, _, _ = run(name, model, split, reference)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in module.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not found.values.requires_grad
    assert found.maps is None or not found.maps.requires_grad


@pytest.mark.parametrize(("kind", "name"), CONTRACT)
def test_the_same_seed_gives_the_same_bits(kind, name):
    first, second = (run(name, *subjects()[kind])[0] for _ in range(2))
    assert torch.equal(first.values, second.values)


@pytest.mark.parametrize(("kind", "name"), CONTRACT)
def test_one_row_is_explained_as_among_many(kind, name):
    model, split, reference = subjects()[kind]
    many = run(name, model, split, reference)[0]
    arrays = {key: part[:1] for key, part in split.arrays.items()}
    alone = run(name, model, Split("test", "test", split.table.slice(0, 1), split.schema, arrays), reference)[0]
    torch.testing.assert_close(alone.values[0], many.values[0], atol=1e-5, rtol=1e-4)


def test_only_unconverged_rows_get_more_steps_and_the_gap_says_so():
    """Along x0 the function is linear (8 steps are plenty); kinks along x1 need many more."""
    kinks = torch.tensor([0.13, 0.37, 0.71])

    def f(x: Tensor) -> Tensor:
        return x[:, 0] + 5 * relu(x[:, 1:] - kinks).sum(dim=1)

    model, split = numeric_model(Function(f), 2), numeric_split([[1.0, 0.0], [0.1, 1.0]])
    found, explicands, _ = run("integrated_gradients", model, split, tolerance=1e-3)
    assert found.steps[0] == 8
    assert found.steps[1] > 8
    assert found.converged.all()
    _, relative = completeness_gap(found.values, explicands.change)
    assert (relative <= 1e-3).all()
    assert found.evaluations[0] == 8
    assert found.evaluations[1] > found.steps[1]
    capped, _, _ = run("integrated_gradients", model, split, tolerance=1e-9, maximum_steps=8)
    assert not capped.converged[1]
    assert capped.steps.tolist() == [8, 8]


def test_the_ledger_counts_every_row():
    model, split, reference = mixed_model(), mixed_split(), mixed_split(40, 1, "train")
    _, _, ledger = run("occlusion", model, split, reference)
    entries = {entry["split"]: entry for entry in ledger.entries()}
    probe, entered, at_baseline = 2 * 8 + 1, len(split), 1
    assert entries["test"]["forwards"] == entered + probe + at_baseline + len(split) * 5
    assert entries["train"]["forwards"] == 40


def test_the_baseline_is_the_mean_of_training_rows_in_attribution_space():
    model, split, reference = mixed_model(), mixed_split(), mixed_split(40, 1, "train")
    _, explicands, _ = run("occlusion", model, split, reference)
    numbers, codes = model.encode(reference)
    torch.testing.assert_close(explicands.baseline.points[0][0], numbers.mean(dim=0))
    for place, table in enumerate(model.module.embeddings):
        expected = table(codes[:, place]).mean(dim=0).detach()
        torch.testing.assert_close(explicands.baseline.points[1 + place][0], expected)
    assert explicands.baseline.rows == 40


def test_the_target_of_two_classes_is_the_log_odds_of_the_positive_one():
    model, split = mixed_model(), mixed_split()
    _, explicands, _ = run("occlusion", model, split)
    with model.evaluating() as module:
        logits = module(*model.encode(split))
    torch.testing.assert_close(explicands.scores, (logits[:, 1] - logits[:, 0]).double(), atol=1e-6, rtol=1e-5)
    schema = Schema(features=split.schema.features, classes=("no", "yes"), positive="no")
    _, other, _ = run("occlusion", model, Split("test", "test", split.table, schema))
    torch.testing.assert_close(other.scores, -explicands.scores)


def test_validity_refuses_with_a_reason():
    class Lookup(nn.Module):
        def forward(self, c: Tensor) -> Tensor:
            return nn.functional.one_hot(c, 5).float().flatten(1).sum(dim=1, keepdim=True) * c.float()[:, :1]

    categorical = (Categorical(name="c0", vocabulary=("a", "b")),)
    model = Model(Lookup(), ("no", "yes"), TablePreprocessing(categorical=categorical), device=CPU)
    for name in ("integrated_gradients", "gradient_x_input", "occlusion"):
        found = METHODS[name].valid_for(model, example_inputs(model))
        assert found.status == "refused"
        assert "nn.Embedding" in found.reason
    cut = numeric_model(Function(lambda x: x.detach().sum(dim=1)), 2)
    assert METHODS["integrated_gradients"].valid_for(cut, example_inputs(cut)).status == "refused"
    assert METHODS["occlusion"].valid_for(cut, example_inputs(cut)).status == "valid"
    assert METHODS["grad_cam"].valid_for(cut, example_inputs(cut)).status == "refused"
    pictures, _, _ = picture_subject()
    assert METHODS["grad_cam"].valid_for(pictures, example_inputs(pictures)).status == "valid"
    assert last_convolution(pictures, example_inputs(pictures)) == ("body.2", (6, 6))
    coarse, _, _ = picture_subject(side=3)
    assert METHODS["grad_cam"].valid_for(coarse, example_inputs(coarse)).status == "degraded"


def test_every_method_states_what_it_is():
    for name, method in METHODS.items():
        assert method.name == name
        assert all((method.title, method.direction, method.cost))
    complete = {name for name, method in METHODS.items() if method.complete}
    shapley = {name for name in METHODS if "shap" in name and name != "gradient_shap"}
    assert complete == {"integrated_gradients", "expected_gradients", "deep_lift", "lrp"} | shapley


def test_attribution_can_be_thinned():
    found = PartAttribution(torch.eye(3).double(), np.arange(3), steps=np.arange(3), converged=np.ones(3, bool))
    kept = found.take(torch.tensor([True, False, True]))
    assert kept.values.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert kept.evaluations.tolist() == [0, 2]
