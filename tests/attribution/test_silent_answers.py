"""Where captum 0.9 answers wrongly without a word, explain is right or refuses (relevance methods: `relevance/`)."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution.explanation import explain, methods, preflight
from auditkit.errors import InputError

SLOPES = ["saliency", "gradient_x_input", "smoothgrad", "expected_gradients", "gradient_shap"]
GRADIENTS = [*SLOPES, "integrated_gradients"]
BACKWARDS = ["deep_lift", "deep_lift_shap", "lrp", "guided_backprop", "deconvolution"]
OURS = [*GRADIENTS, "occlusion", *BACKWARDS]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def net(*between: nn.Module, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), *between, nn.ReLU(), nn.Linear(6, outputs)).double()


@pytest.mark.parametrize("method", OURS)
def test_a_model_in_train_mode_is_explained_as_in_eval_mode_and_left_in_it(method):
    """captum drops units at random and moves the running statistics."""
    model, x = net(nn.BatchNorm1d(6), nn.Dropout(0.5)), noise(5, 4)
    expected = explain(model.eval(), x, method=method)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = explain(model.train(), x, method=method)
    assert torch.equal(found.values, expected.values)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    if method == "deep_lift":
        assert found.relative_gap.max() < 1e-9


class Coupled(nn.Module):
    """Each row is compared with the average of its batch; alone it is just itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return h + h * (h - h.mean(dim=0))


@pytest.mark.parametrize("method", SLOPES)
def test_rows_coupled_by_the_batch_are_explained_one_by_one(method):
    model, x = Coupled(), noise(5, 4)
    found = explain(model, x, method=method)
    alone = torch.cat([explain(model.body, x[row : row + 1], method=method).values for row in range(5)])
    torch.testing.assert_close(found.values, alone)
    assert found.batch_error > 1e-3


@pytest.mark.parametrize("method", OURS)
def test_values_are_shaped_as_the_inputs_whatever_the_outputs_are(method):
    """captum gives [N, 1, F] or [N 3, F] where no target is named."""
    x = noise(5, 4)
    for model in (net(outputs=3), net(outputs=1)):
        assert explain(model, x, method=method).values.shape == x.shape
    if method not in BACKWARDS:
        single = explain(lambda x: net(outputs=1)(x)[:, 0], x, method=method)
        torch.testing.assert_close(single.values, explain(net(outputs=1), x, method=method).values)


@pytest.mark.parametrize("method", OURS)
def test_numbers_that_are_none_are_refused(method):
    x = noise(5, 4)
    for value in (np.nan, np.inf):
        strange = x.clone()
        strange[2, 1] = value
        with pytest.raises(InputError, match="missing or infinite"):
            explain(net(), strange, method=method)


@pytest.mark.parametrize("method", OURS)
def test_number_types_are_kept_and_sums_are_made_in_float64(method):
    model, x = net(), noise(5, 4)
    exact = explain(model, x, method=method)
    assert exact.values.dtype == exact.by_part.dtype == torch.float64
    for kind, off in ((torch.float32, 1e-5), (torch.bfloat16, 0.1)):
        found = explain(net().to(kind), x.to(kind), method=method)
        assert (found.values.dtype, found.by_part.dtype) == (kind, torch.float64)
        assert (found.by_part - exact.by_part).abs().max() <= off * exact.by_part.abs().max()


def test_ids_are_replaced_by_what_fills_up_and_never_by_a_word():
    class Words(nn.Module):
        def __init__(self, filling: int) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Embedding(6, 3, padding_idx=filling)
            self.head = nn.Linear(3, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.table(ids).sum(dim=1))

    model = Words(5).double()
    found = explain(model, torch.tensor([[1, 2], [0, 4]]), method="occlusion", target=0)
    expected = (model.table(torch.tensor([[1, 2], [0, 4]])) - model.table.weight[5]) @ model.head.weight[0]
    torch.testing.assert_close(found.by_part, expected.detach())


def test_outputs_that_are_no_numbers_of_a_row_are_refused_with_what_to_do():
    class Dict(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": x}

    for model in (Dict(), lambda x: x.sum(), lambda x: x[:, :, None]):
        for ask in (lambda model: preflight(model, noise(1, 4)), lambda model: explain(model, noise(2, 4))):
            with pytest.raises(InputError, match="wrap"):
                ask(model)


def test_the_preflight_has_a_sentence_for_every_method_that_is_not_valid():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x).mean(dim=1))

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cells(x)[0][:, -1])

    for model in (Attending().double(), Recurrent().double()):
        found = preflight(model, noise(1, 5, 4))
        assert list(found) == methods()
        assert all(state.reason for state in found.values() if state.status != "valid")
        assert {found[name].status for name in GRADIENTS} == {"valid"}
        assert {found[name].status for name in BACKWARDS} == {"refused"}


@pytest.mark.gpu
@pytest.mark.parametrize("method", OURS)
def test_a_gpu_gives_what_the_cpu_gives(method):
    model, x, reference = net(), noise(5, 4), noise(12, 4, seed=1)
    expected = explain(model, x, method=method, reference=reference)
    found = explain(net().cuda(), x.cuda(), method=method, reference=reference.cuda())
    assert found.values.is_cuda
    torch.testing.assert_close(found.values.cpu(), expected.values, atol=1e-9, rtol=1e-6)
