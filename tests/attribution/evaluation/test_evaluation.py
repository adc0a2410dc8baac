"""evaluate() on digits: what is believable, what is not and why, and what it refuses."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from auditkit.attribution import evaluate, explain
from auditkit.errors import InputError


def figure(judged, metric, of="attribution"):
    table = judged.to_pandas()
    return float(table[(table.metric == metric) & (table.of == of)].value.iloc[0])


def status(judged):
    return {check.name: check.status for check in judged.checks}


@pytest.fixture(scope="module")
def judged(digits):
    network, x = digits
    return {
        method: evaluate(explain(network, x, method=method), network, x)
        for method in ("integrated_gradients", "guided_backprop")
    }


def test_integrated_gradients_is_believable(judged):
    found = judged["integrated_gradients"]
    assert found.verdict == "believable"
    assert found.reasons[0] == (
        "Integrated Gradients is believable: it passes completeness, faithfulness, randomisation and sensitivity."
    )
    assert abs(figure(found, "randomisation")) < 0.1
    assert figure(found, "completeness") < 0.01


def test_guided_backprop_is_not_and_it_is_said_why(judged):
    found = judged["guided_backprop"]
    assert found.verdict == "not believable"
    assert status(found)["faithfulness"] == "pass"
    assert status(found)["randomisation"] == "fail"
    assert found.reasons[0] == "Guided backpropagation is not believable: it fails randomisation."
    assert (
        "weights are replaced by random ones, so it shows the input and not what the model learned" in found.reasons[1]
    )
    assert figure(found, "randomisation") > 0.4


def test_every_figure_stands_beside_three_nulls_with_an_interval(judged):
    table = judged["integrated_gradients"].to_pandas()
    for metric in (
        "deletion",
        "insertion",
        "faithfulness",
        "infidelity",
        "completeness",
        "sensitivity",
        "randomisation",
    ):
        lines = table[table.metric == metric]
        assert set(lines.of) == {"attribution", "random attribution", "input magnitude", "random model"}
        assert (lines.lower <= lines.value).all()
        assert (lines.value <= lines.upper).all()
        assert (lines.n > 0).all()
    nulls = judged["integrated_gradients"]
    assert figure(nulls, "faithfulness", "random attribution") == pytest.approx(0, abs=0.08)
    assert figure(nulls, "randomisation", "input magnitude") == pytest.approx(1)
    assert figure(nulls, "infidelity") < 0.1 < figure(nulls, "infidelity", "random attribution")


def test_a_method_from_elsewhere_is_judged_alike(digits, judged):
    network, x = digits
    values = GuidedBackprop(network).attribute(x, target=network(x).argmax(dim=1)).detach()
    given = replace(
        explain(network, x, method="gradient_x_input"),
        values=values,
        by_part=values.flatten(1).double(),
        method="captum's Guided Backprop",
    )
    found = evaluate(given, network, x, again=lambda scored, *points: GuidedBackprop(scored).attribute(points[0]))
    assert found.verdict == "not believable"
    assert status(found)["randomisation"] == "fail"
    assert figure(found, "randomisation") > 0.4
    alone = evaluate(given, network, x)
    assert alone.verdict == "undecided"
    assert "the method cannot be asked again" in alone.reasons[1]


def test_a_random_attribution_fails_and_is_no_better_than_chance(digits):
    network, x = digits
    found = explain(network, x, method="gradient_x_input")
    noise = torch.randn(found.by_part.shape, generator=torch.Generator().manual_seed(3)).double()
    given = replace(found, by_part=noise, method="dice")
    bad = evaluate(given, network, x)
    assert bad.verdict == "not believable"
    assert "no better than a random order" in " ".join(bad.reasons)


def test_the_model_is_left_and_the_same_seed_says_the_same(digits):
    network, x = digits
    network = copy.deepcopy(network).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    found = explain(network, x, method="gradient_x_input")
    first, second = (evaluate(found, network, x, rows=12) for _ in range(2))
    assert first.to_pandas().equals(second.to_pandas())
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(part._forward_hooks or part._backward_hooks for part in network.modules())


def test_batches_do_not_matter_and_rows_are_named():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = torch.randn(20, 5, dtype=torch.float64)
    found = explain(network, x, target=(0, 1), tolerance=1e-6)
    whole, single = (evaluate(found, network, x, rows=10, batch_size=size) for size in (512, 1))
    assert whole.rows == 10
    pair = whole.to_pandas(), single.to_pandas()
    assert pair[0].value.to_numpy() == pytest.approx(pair[1].value.to_numpy(), rel=1e-9)


def test_on_a_linear_model_everything_is_exact():
    network = nn.Linear(6, 1).double()
    x = torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = evaluate(explain(network, x), network, x)
    assert figure(found, "completeness") < 1e-9
    assert figure(found, "infidelity") < 1e-12
    assert figure(found, "insertion") + figure(found, "deletion") == pytest.approx(1)


def test_ids_and_groups_and_regressions_are_judged_too():
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(20, 4, padding_idx=0), nn.Linear(4, 1)

        def forward(self, ids, extra):
            return self.out(torch.tanh(self.words(ids)).sum(dim=1)) + extra[:, :1]

    torch.manual_seed(0)
    reader, ids, extra = Reader(), torch.randint(1, 20, (12, 5)), torch.randn(12, 2)
    groups = (torch.tensor([0, 0, 1, 2, 3]), torch.tensor([4, 4]))
    found = evaluate(explain(reader, (ids, extra), groups=groups), reader, (ids, extra))
    assert status(found)["completeness"] == "pass"
    assert status(found)["faithfulness"] == "pass"
    assert status(found)["randomisation"] != "not applicable"


def test_a_callable_without_weights_cannot_be_drawn_anew():
    def answer(x):
        return (x * torch.tensor([4.0, -3.0, 2.0, 1.0])).sum(dim=1)

    x = torch.rand(12, 4)
    found = evaluate(explain(answer, x, method="occlusion"), answer, x)
    assert status(found)["randomisation"] == "not applicable"
    assert found.verdict == "undecided"
    assert "no weights" in " ".join(found.reasons)


def test_seeds_are_compared_where_a_method_draws():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)), torch.randn(12, 8)
    found = explain(network, x, method="smoothgrad", samples=4, noise=1.0)
    drawn = evaluate(found, network, x)
    assert status(drawn)["stability"] != "not applicable"
    assert figure(drawn, "stability") < 1


def test_other_methods_are_compared(digits):
    network, x = digits
    first, second = (explain(network, x, method=name) for name in ("gradient_x_input", "occlusion"))
    found = evaluate(first, network, x, rows=8, others=[first, second])
    table = found.to_pandas().set_index(["metric", "of"]).value
    for metric in ("rank_agreement", "top_agreement", "sign_agreement"):
        assert table[metric, "gradient_x_input"] == 1
        assert 0 < table[metric, "occlusion"] < 1


def test_what_does_not_fit_is_refused(digits):
    network, x = digits
    found = explain(network, x, method="gradient_x_input")
    with pytest.raises(InputError, match="5 rows of inputs, but 32"):
        evaluate(found, network, x[:5])
    with pytest.raises(InputError, match="scores these rows otherwise"):
        evaluate(found, network, x.flip(0))
    with pytest.raises(InputError, match="does not say how it was made"):
        evaluate(replace(found, recipe=None), network, x)
    with pytest.raises(InputError, match="no setting 'step'; did you mean 'steps'"):
        evaluate(found, network, x, step=3)
    with pytest.raises(InputError, match="not of the same rows"):
        evaluate(found, network, x, others=[explain(network, x[:2])])


def test_few_rows_give_a_status_and_no_verdict(digits):
    network, x = digits
    one = evaluate(explain(network, x[:1], method="gradient_x_input"), network, x[:1])
    assert one.verdict == "undecided"
    assert "too few" in " ".join(one.reasons)
    assert np.isfinite(figure(one, "deletion"))


def test_few_parts_leave_a_sound_method_undecided_at_worst():
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        network, x = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2)), torch.randn(24, 4)
        judged = evaluate(explain(network, x, method="gradient_x_input", target=0), network, x, seed=seed)
        found.append(status(judged)["randomisation"])
    assert "fail" not in found
    assert found.count("pass") >= 5
