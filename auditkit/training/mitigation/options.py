"""What `mitigation:` in a recipe may say: one model for each method.

    mitigation: {method: reweighing, sensitive: [sex]}
    mitigation: {method: adversarial, sensitive: [sex], constraint: equalized_odds, strength: 1}
    mitigation: {method: exponentiated_gradient, sensitive: [sex, race], constraint: demographic_parity, limit: 0.02}

Several sensitive columns are crossed. They are read in training only; the model sees them where they are features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from auditkit.errors import InputError, nearest
from auditkit.spec import Strict, parse

Constraint = Literal["demographic_parity", "equalized_odds"]


class Sensitive(Strict):
    """What every method needs: the columns whose groups are to be treated alike."""

    sensitive: list[str] = Field(min_length=1)


class Reweighing(Sensitive):
    """Row weights under which label and group are independent. What it aims at is demographic parity, always."""

    method: Literal["reweighing"]
    constraint: Literal["demographic_parity"] = "demographic_parity"


class Adversarial(Sensitive):
    """A rival guesses the group from the logits, and the model learns to leave it guessing.

    strength: how much that counts beside the labels; 0 leaves the projection alone. hidden: the rival's width.
    learning_rate: the rival's.
    """

    method: Literal["adversarial"]
    constraint: Constraint = "demographic_parity"
    strength: float = Field(1.0, ge=0)
    hidden: int = Field(32, ge=1)
    learning_rate: float = Field(1e-2, gt=0)


class ExponentiatedGradient(Sensitive):
    """A mixture of models, each trained with other weights, such that it meets the constraint on the training rows.

    limit: the gap between two groups that is allowed. trainings: at most so many members are trained. epochs: how long
    each is, from the weights of the model trained as usual.
    """

    method: Literal["exponentiated_gradient"]
    constraint: Constraint = "demographic_parity"
    limit: float = Field(0.02, gt=0, lt=1)
    trainings: int = Field(30, ge=2)
    epochs: int = Field(2, ge=1)


AnyOptions = Reweighing | Adversarial | ExponentiatedGradient
METHODS: dict[str, type[AnyOptions]] = {
    "reweighing": Reweighing,
    "adversarial": Adversarial,
    "exponentiated_gradient": ExponentiatedGradient,
}


def parse_mitigation(content: Mapping[str, Any], where: str = "recipe") -> AnyOptions:
    """The settings of one method. Raises InputError, in one sentence, for what is no such thing.

    >>> parse_mitigation({"method": "reweighing", "sensitive": ["sex"]}).constraint
    'demographic_parity'
    """
    method = content.get("method")
    if method not in METHODS:
        raise InputError(f"{where}: mitigation.method {method!r} is not known; {nearest(str(method), METHODS)}")
    if method == "reweighing" and content.get("constraint", "demographic_parity") == "equalized_odds":
        raise InputError(
            f"{where}: mitigation: reweighing makes label and group independent, which aims at demographic_parity; "
            "for equalized_odds choose the method adversarial or exponentiated_gradient"
        )
    options: AnyOptions = parse(content, METHODS[method], f"{where}: mitigation")
    return options
