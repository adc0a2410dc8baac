"""Fairness-aware training: `mitigation:` in a recipe.

    options                  what a recipe may say
    groups                   the groups of the training rows
    usual                    what every method may change in a training, and no method changes
    reweighing               row weights under which label and group are independent
    adversarial              a rival that guesses the group from the logits
    exponentiated_gradient   a mixture of networks that meets a constraint on the training rows

None of them needs to know a person's group when the model decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditkit.errors import InputError
from auditkit.training.mitigation.groups import training_groups
from auditkit.training.mitigation.options import Adversarial, ExponentiatedGradient, Reweighing, parse_mitigation
from auditkit.training.mitigation.usual import Usual

if TYPE_CHECKING:
    from torch import nn

    from auditkit.subject.data import Split
    from auditkit.training.recipe import Recipe


def mitigation_of(recipe: Recipe, fitting: Split, network: nn.Module, path: str, own: bool = False) -> Usual:
    """What the recipe asks for, made ready for the training rows. path: the network's import path. own: whether the
    caller brings a learner.

    Raises InputError where it cannot be done: settings that are none, a column that is not there, one group only,
    a group without one of the labels, a network that learns in a way of its own.
    """
    if recipe.mitigation is None:
        return Usual()
    options = parse_mitigation(recipe.mitigation)
    if own or hasattr(network, "learner") or getattr(network, "one_class", False):
        raise InputError(
            f"recipe: mitigation: {path} is to learn in a way of its own, which {options.method} cannot change; leave "
            "mitigation out or name a classifier that is trained as usual"
        )
    groups = training_groups(fitting, options.sensitive)
    if isinstance(options, Reweighing):
        from auditkit.training.mitigation.reweighing import Reweighed

        return Reweighed(options, groups)
    if isinstance(options, Adversarial):
        from auditkit.training.mitigation.adversarial import Debiased

        return Debiased(options, groups, recipe)
    assert isinstance(options, ExponentiatedGradient)
    from auditkit.training.mitigation.exponentiated_gradient import Reduced

    return Reduced(options, groups, recipe, path)
