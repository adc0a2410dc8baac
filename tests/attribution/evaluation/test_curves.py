"""Deletion and insertion against closed forms, and what must not matter to them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from auditkit.attribution.evaluation.assessment import Effort, Ground
from auditkit.attribution.evaluation.curves import area, curves, direction_of, ranks
from auditkit.attribution.explicands import Explicands

W = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)


def linear(x: Tensor) -> Tensor:
    return x @ W


def ordered(rows: Explicands, values: Tensor, signed: bool = True) -> Tensor:
    return ranks(values, direction_of(rows, signed), rows.present, 0)


def test_a_linear_model_deletes_and_inserts_as_arithmetic_says(asked):
    x = torch.ones(1, 4, dtype=torch.float64)
    engine, rows = asked(linear, x)
    found = curves(engine, rows, ordered(rows, (x * W)[None]), steps=4)
    assert found.deletion[0, 0].tolist() == pytest.approx([1, 0.6, 0.3, 0.1, 0], abs=1e-12)
    assert area(found.deletion).item() == pytest.approx(0.375, abs=1e-12)
    assert area(found.insertion).item() == pytest.approx(0.625, abs=1e-12)
    assert found.faithfulness.item() == pytest.approx(0.25, abs=1e-12)


def test_an_order_by_chance_has_half_of_the_area(asked):
    x = torch.ones(1, 4, dtype=torch.float64)
    engine, rows = asked(linear, x)
    values = torch.rand(4000, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = curves(engine, rows, ordered(rows, values), steps=4)
    assert area(found.deletion).mean().item() == pytest.approx(0.5, abs=0.005)
    assert found.faithfulness.mean().item() == pytest.approx(0, abs=0.01)


def test_equal_values_go_in_a_seeded_order():
    values = torch.zeros(1, 200, 6)
    first, again, other = (ranks(values, torch.ones(200), None, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.double().mean(dim=(0, 1)).numpy() == pytest.approx(2.5, abs=0.5)


def test_below_the_baseline_what_pulls_down_goes_first(asked):
    x = -torch.ones(1, 4, dtype=torch.float64)
    engine, rows = asked(linear, x)
    values = (x * W)[None]
    assert area(curves(engine, rows, ordered(rows, values), steps=4).deletion).item() == pytest.approx(0.375)
    unsigned = curves(engine, rows, ordered(rows, values.abs(), signed=False), steps=4)
    assert area(unsigned.deletion).item() == pytest.approx(0.375)


def test_neither_batches_nor_company_nor_order_of_rows_matter(asked):
    torch.manual_seed(0)
    x = torch.randn(6, 4, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return torch.tanh(x @ W) + x[:, 0] * x[:, 1]

    engine, rows = asked(function, x)
    order = ordered(rows, (x * W)[None])
    whole = curves(engine, rows, order).faithfulness[0]
    single = curves(asked(function, x, size=1)[0], rows, order).faithfulness[0]
    assert torch.equal(whole, single)
    flipped = asked(function, x.flip(0))
    assert torch.allclose(whole, curves(*flipped, order.flip(1)).faithfulness[0].flip(0), atol=1e-12)
    twice = asked(function, torch.cat([x, x]))
    assert torch.allclose(whole.repeat(2), curves(*twice, order.repeat(1, 2, 1)).faithfulness[0], atol=1e-12)


def test_rows_take_as_many_steps_as_they_have_parts_and_absent_parts_are_left(asked):
    x = torch.tensor([[1.0, 1, 0, 0]], dtype=torch.float64)
    engine, rows = asked(linear, x)
    rows = replace(rows, present=torch.tensor([[True, True, False, False]]))
    found = curves(engine, rows, ordered(rows, (x * W)[None]))
    assert found.deletion[0, 0].tolist() == pytest.approx([1, 3 / 7, 0])


def test_a_row_without_a_change_says_nothing_and_weighs_nothing(asked):
    x = torch.tensor([[0.0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.float64)
    engine, rows = asked(linear, x)
    ground = Ground(engine, rows, Effort(steps=4))
    found = ground.curves((x * W)[None], signed=True)
    assert found.deletion[0, 0].isnan().all()
    mean = ground.mean(found.faithfulness[0], rows.change.abs())
    assert (mean.value, mean.n) == (pytest.approx(0.25), 1)
