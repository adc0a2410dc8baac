"""What a search may try: a recipe's `search`, as Optuna's distributions and as recipes.

Choices are drawn by their place in the list, since Optuna's own may not be lists or mappings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from auditkit.errors import InputError
from auditkit.training.recipe import SETTING_OF, Recipe, Tried

Space = Mapping[str, Tried]


def usual_space(recipe: Recipe) -> dict[str, Tried]:
    """What is tried where a recipe does not say: a decade of learning rates to both sides, and weight decays.

    >>> usual_space(Recipe(learning_rate=0.01))["learning_rate"].high
    0.1
    """
    rate = recipe.learning_rate
    return {
        "learning_rate": Tried(low=rate / 10, high=rate * 10, log=True),
        "weight_decay": Tried(low=1e-5, high=0.1, log=True),
    }


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """A recipe with other settings, by name, those of the network as `arguments.<name>`; it searches no more.

    Raises InputError where they do not go together.

    >>> with_settings(Recipe(), {"learning_rate": 0.1, "arguments.hidden": [8]}).arguments
    {'hidden': [8]}
    """
    given = {name: value for name, value in settings.items() if not name.startswith("arguments.")}
    arguments = {name.partition(".")[2]: value for name, value in settings.items() if name.startswith("arguments.")}
    changed = recipe.model_copy(update={**given, "arguments": recipe.arguments | arguments, "search": None})
    idle = [name for name in SETTING_OF if name not in given and not _takes_effect(name, given, recipe)]
    changed = changed.model_copy(update={name: Recipe.model_fields[name].default for name in idle})
    try:
        Recipe.model_validate(changed.model_dump(exclude_defaults=True))
    except ValidationError as problem:
        raise InputError(f"search: {problem.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return changed


def distributions(space: Space) -> dict[str, Any]:
    """Optuna's distribution of each setting: places of choices, whole numbers or numbers."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, Any] = {}
    for name, tried in space.items():
        if tried.choices is not None:
            made[name] = CategoricalDistribution(tuple(range(len(tried.choices))))
        else:
            kind: Any = IntDistribution if _whole(tried) else FloatDistribution
            made[name] = kind(tried.low, tried.high, log=tried.log)
    return made


def settings_of(space: Space, drawn: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What was drawn for a recipe: the choices themselves in place of their places, and no setting without effect.

    >>> settings_of({"arguments.hidden": Tried(choices=[[8], [16]])}, {"arguments.hidden": 1}, Recipe())
    {'arguments.hidden': [16]}
    """
    values = {}
    for name, tried in space.items():
        values[name] = drawn[name] if tried.choices is None else tried.choices[drawn[name]]
    return {name: value for name, value in values.items() if _takes_effect(name, values, recipe)}


def as_it_stands(recipe: Recipe, space: Space) -> dict[str, Any]:
    """The recipe's own settings, where they are among those to be tried, as they would have been drawn."""
    found: dict[str, Any] = {}
    for name, tried in space.items():
        whole, _, argument = name.partition(".")
        value = recipe.arguments.get(argument) if argument else getattr(recipe, whole)
        if tried.choices is not None:
            if value in tried.choices:
                found[name] = tried.choices.index(value)
        elif isinstance(value, int | float) and tried.low is not None and tried.high is not None:
            fits = not _whole(tried) or value == int(value)
            if tried.low <= value <= tried.high and fits:
                found[name] = int(value) if _whole(tried) else float(value)
    return found


def _takes_effect(name: str, given: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether a setting changes anything: the momentum does not where another optimiser than sgd was drawn."""
    if name not in SETTING_OF:
        return True
    of, uses = SETTING_OF[name]
    return given.get(of, getattr(recipe, of)) in uses


def _whole(tried: Tried) -> bool:
    return isinstance(tried.low, int) and isinstance(tried.high, int)
