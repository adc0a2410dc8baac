"""What a recipe may ask for, reweighing in closed form, and the pieces of the other two methods."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from auditkit.errors import InputError
from auditkit.fairness.counting.counts import encode_groups
from auditkit.fairness.mitigation.reweighing import reweighing
from auditkit.subject.data import Schema, Split
from auditkit.training.architectures.mixture import Mixture
from auditkit.training.mitigation import mitigation_of
from auditkit.training.mitigation.adversarial import Rival, debiased
from auditkit.training.mitigation.exponentiated_gradient import Weights, averaged, gap
from auditkit.training.mitigation.groups import Groups, training_groups
from auditkit.training.mitigation.options import parse_mitigation
from auditkit.training.mitigation.reweighing import row_weights
from auditkit.training.recipe import Recipe

SCHEMA = Schema(("x",), ("no", "yes"), "y", "yes", ("sex",))
MLP = "auditkit.training.architectures.mlp:MLP"


def split(sex, y, **columns):
    table = pa.table({"x": np.zeros(len(y)), "sex": sex, "y": y, **columns})
    return Split("train", "train", table, SCHEMA)


def groups_of(codes, labels, names=("a", "b", "c")):
    return Groups(("g",), tuple(names), np.array(codes), np.array(labels), ("no", "yes"))


def asked(rows, network=None, path=MLP, own=False, recipe=None, **settings):
    recipe = Recipe(mitigation={"sensitive": ["sex"], **settings}, **(recipe or {}))
    return mitigation_of(recipe, rows, network or nn.Linear(1, 2), path, own)


MIXED = split(["f", "f", "m", "m"], ["no", "yes", "no", "yes"])


def test_reweighing_s_weights_are_aif360_s_on_the_rows_of_its_paper():
    """Kamiran and Calders's table 4: ten applicants, the weights they print (AIF360 gives the same)."""
    sex = ["m"] * 5 + ["f"] * 5
    hired = ["yes", "yes", "yes", "yes", "no", "yes", "yes", "no", "no", "no"]
    weights = row_weights(training_groups(split(sex, hired), ["sex"]))
    printed = {("m", "yes"): 0.75, ("m", "no"): 2.0, ("f", "yes"): 1.5, ("f", "no"): 0.67}
    assert [printed[cell] for cell in zip(sex, hired, strict=True)] == pytest.approx(weights, abs=0.005)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=60))
def test_under_its_weights_label_and_group_are_independent_and_keep_their_sizes(rows):
    rows = [*rows, *((group, label) for group in range(3) for label in range(2))]
    codes, labels = np.array(rows).T
    weights = row_weights(groups_of(codes, labels))
    table = np.array([[weights[(codes == g) & (labels == y)].sum() for y in (0, 1)] for g in range(3)])
    assert np.allclose(table, np.outer(table.sum(1), table.sum(0)) / table.sum(), atol=1e-9)
    assert np.allclose(table.sum(1), np.bincount(codes))
    assert np.allclose(table.sum(0), np.bincount(labels))


def test_training_and_the_fairness_benchmark_weigh_rows_alike():
    random = np.random.default_rng(0)
    codes, labels = random.integers(0, 3, 400), random.integers(0, 2, 400)
    there = reweighing(encode_groups({"g": pa.array(codes)}, "here"), labels == 1)
    assert row_weights(groups_of(codes, labels)) == pytest.approx(there, rel=1e-12)


def test_several_sensitive_columns_are_crossed():
    rows = split(["f", "f", "m", "m"], ["no", "yes", "no", "yes"], race=["a", "b", "a", "a"])
    groups = training_groups(rows, ["sex", "race", "sex"])
    assert groups.names == ("f × a", "f × b", "m × a")
    assert groups.codes.tolist() == [0, 1, 2, 2]
    assert groups.cells.tolist() == [[1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"method": "reweigh", "sensitive": ["sex"]}, "'reweigh' is not known; did you mean 'reweighing'?"),
        ({"sensitive": ["sex"]}, "mitigation.method None is not known; known: adversarial"),
        ({"method": "reweighing"}, "sensitive: field required"),
        ({"method": "reweighing", "sensitive": []}, "sensitive: list should have at least 1 item"),
        ({"method": "adversarial", "sensitive": ["sex"], "strenght": 1}, "did you mean 'strength'"),
        ({"method": "adversarial", "sensitive": ["sex"], "strength": -1}, "strength: input should be greater"),
        ({"method": "exponentiated_gradient", "sensitive": ["sex"], "limit": 0}, "limit: input should be greater"),
        ({"method": "reweighing", "sensitive": ["sex"], "constraint": "equalized_odds"}, "for equalized_odds choose"),
        ({"method": "adversarial", "sensitive": ["sex"], "constraint": "parity"}, "constraint: input should be"),
    ],
)
def test_what_a_recipe_may_not_ask_for_is_said_in_one_sentence(content, said):
    with pytest.raises(InputError) as problem:
        parse_mitigation(content)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (split(["f"] * 4, ["no", "yes"] * 2), "all training rows are of one group, 'f' of 'sex'"),
        (split(["f", "f", "m", "m"], ["no", "yes", "no", "no"]), "group 'm' of 'sex' has no training rows with the"),
        (split(["f", None, "m", "m"], ["no", "yes"] * 2), "column 'sex' has empty places in split 'train'"),
        (split([1.0, float("nan"), 2.0, 2.0], ["no", "yes"] * 2), "column 'sex' has empty places"),
        (split(np.arange(80.0), ["no", "yes"] * 40), "sorts the training rows into 80 groups, more than 50"),
    ],
)
def test_groups_that_cannot_be_mitigated_are_refused(rows, said):
    with pytest.raises(InputError) as problem:
        asked(rows, method="reweighing")
    assert said in str(problem.value)


def test_an_unknown_column_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no column 'sx'; did you mean 'sex'"):
        asked(MIXED, method="adversarial", sensitive=["sx"])


@pytest.mark.parametrize("method", ["adversarial", "exponentiated_gradient"])
def test_equalized_odds_needs_every_label_in_every_group_and_demographic_parity_does_not(method):
    rows = split(["f", "f", "m", "m"], ["no", "yes", "no", "no"])
    with pytest.raises(InputError, match="group 'm' of 'sex' has no training rows with the label 'yes'"):
        asked(rows, method=method, constraint="equalized_odds")
    asked(rows, method=method, constraint="demographic_parity")


def test_what_a_method_cannot_change_is_refused():
    class Own(nn.Linear):
        def learner(self, recipe, steps):
            return None

    for case in ({"network": Own(1, 2)}, {"own": True}):
        with pytest.raises(InputError, match="to learn in a way of its own, which reweighing cannot change"):
            asked(MIXED, method="reweighing", **case)
    with pytest.raises(InputError, match=r"mixes networks of auditkit\.training\.architectures"):
        asked(MIXED, method="exponentiated_gradient", path="mine:Network")
    with pytest.raises(InputError, match="sets the weights of rows itself; leave class_weights out"):
        asked(MIXED, method="exponentiated_gradient", recipe={"class_weights": "balanced"})
    with pytest.raises(InputError, match="one device"):
        asked(MIXED, method="adversarial", recipe={"devices": 2})
    with pytest.raises(InputError, match="scales no gradients"):
        asked(MIXED, method="adversarial", recipe={"precision": "16-mixed"})


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 10))
def test_no_step_for_the_labels_sake_helps_the_rival(seed, strength):
    random = torch.Generator().manual_seed(seed)
    towards, against = ([torch.randn(3, 4, generator=random), torch.randn(5, generator=random)] for _ in range(2))
    step = debiased(tuple(towards), tuple(against), strength)
    along = sum(float((s.double() * h.double()).sum()) for s, h in zip(step, against, strict=True))
    size = sum(float(h.double().square().sum()) for h in against)
    assert along == pytest.approx(-strength * size, rel=1e-4, abs=1e-4), "what is left along h is the strength's alone"


def test_a_rival_without_gradient_leaves_the_step_as_it_is():
    assert debiased((torch.ones(2),), (torch.zeros(2),), 3.0)[0].tolist() == [1.0, 1.0]


def test_the_rival_counts_groups_alike_and_is_told_labels_for_equalized_odds_only():
    groups = groups_of([0] * 9 + [1], [0, 1] * 5, ("a", "b"))
    codes, labels = torch.from_numpy(groups.codes), torch.from_numpy(groups.labels)
    logits = torch.zeros(10, 2)
    for constraint in ("demographic_parity", "equalized_odds"):
        options = parse_mitigation({"method": "adversarial", "sensitive": ["g"], "constraint": constraint})
        rival = Rival(groups, options)
        for part in rival.guess.parameters():
            nn.init.zeros_(part)
        rival.guess[2].bias.data[0] = 5.0
        loss = rival(logits, labels, codes).item()
        said = float(nn.functional.cross_entropy(torch.tensor([[5.0, 0.0]] * 2), torch.tensor([0, 1])))
        if constraint == "demographic_parity":
            assert loss == pytest.approx(said), "one row of b counts as much as nine of a"
        else:
            assert loss == pytest.approx(float(np.average([0.00671535, 5.00671535], weights=[2, 1])), abs=1e-5)
        assert rival.guess[0].in_features == (6 if constraint == "equalized_odds" else 4)


def mixture(weights, always=0.0):
    member = {"path": MLP, "arguments": {"numeric": 2, "categories": [], "classes": 2, "hidden": [4]}}
    made = Mixture(member, members=len(weights)).eval()
    made.weights.copy_(torch.tensor(weights))
    made.always.fill_(always)
    return made


def test_a_mixture_s_chance_is_the_mean_of_its_members_and_those_that_always_decide_alike():
    torch.manual_seed(0)
    inputs, made = torch.randn(50, 2), mixture([0.5, 0.2], always=0.1)
    alone = [member(inputs).softmax(1)[:, 1] for member in made.members]
    assert made(inputs).softmax(1)[:, 1].detach().numpy() == pytest.approx(
        (0.1 + 0.5 * alone[0] + 0.2 * alone[1]).detach().numpy(), abs=1e-6
    )
    assert torch.equal(made(inputs), made(inputs)), "nothing is drawn"


def test_a_mixture_of_certain_members_has_finite_logits_and_refuses_strange_ones():
    made = mixture([0.0], always=1.0)
    assert made(torch.zeros(1, 2)).isfinite().all()
    with pytest.raises(ValueError, match="must be of auditkit"):
        Mixture({"path": "os:system", "arguments": {}}, 1)
    with pytest.raises(ValueError, match="two classes, not 3"):
        Mixture({"path": MLP, "arguments": {}}, 1, classes=3)


def test_the_average_with_the_fewest_errors_within_the_limit_is_kept():
    """Group a: 8 rows, all scored yes by the first network; b: as by the second. Only a mixture is fair to both."""
    groups = groups_of([0] * 4 + [1] * 4, [1, 1, 0, 0] * 2, ("a", "b"))
    unfair = np.array([0.9, 0.9, 0.9, 0.9, 0.4, 0.1, 0.1, 0.1])
    other = np.array([0.6, 0.6, 0.05, 0.05, 0.9, 0.9, 0.1, 0.1])
    options = parse_mitigation({"method": "exponentiated_gradient", "sensitive": ["g"], "limit": 0.01})
    kept = averaged([Weights({0: 1.0}), Weights({1: 1.0})], [unfair, other], groups, options)
    decisions = kept.chances([unfair, other]) > 0.5
    assert (decisions == (groups.labels == 1)).all()
    assert gap(decisions, groups, "demographic_parity") == 0
    hopeless = averaged([Weights({0: 1.0}), Weights({0: 1.0})], [unfair, other], groups, options)
    assert gap(hopeless.chances([unfair]) > 0.5, groups, "demographic_parity") == 1.0, "no mixture keeps the limit"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["demographic_parity", "equalized_odds"]))
def test_the_gap_is_fairlearn_s(seed, constraint):
    import fairlearn.metrics

    random = np.random.default_rng(seed)
    codes, labels = np.r_[random.integers(0, 3, 90), 0, 0, 1, 1, 2, 2], np.r_[random.integers(0, 2, 90), [0, 1] * 3]
    decisions = random.random(96) < 0.5
    theirs = getattr(fairlearn.metrics, f"{constraint}_difference")(labels, decisions, sensitive_features=codes)
    assert gap(decisions, groups_of(codes, labels), constraint) == pytest.approx(theirs)
