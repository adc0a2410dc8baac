"""Attribution: how much each input of a row speaks for the model's answer, with a check on every explanation.

from auditkit.attribution import evaluate, explain, methods, preflight
from auditkit.attribution import permutation_importance, concept_sensitivity
from auditkit.attribution import counterfactual, influential, leave_one_out, nearest_training_rows
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditkit.attribution.concepts import concept_sensitivity
    from auditkit.attribution.counterfactuals import counterfactual
    from auditkit.attribution.evaluation.baseline_band import baseline_band
    from auditkit.attribution.evaluation.evaluation import Evaluation, evaluate
    from auditkit.attribution.examples.left_out import leave_one_out
    from auditkit.attribution.examples.nearest import nearest_training_rows
    from auditkit.attribution.examples.tracin import influential
    from auditkit.attribution.explanation import Attribution, explain, methods, preflight
    from auditkit.attribution.layers import LayerAttribution, explain_layer
    from auditkit.attribution.permuted import permutation_importance
    from auditkit.attribution.shapley.interactions import Interactions, interactions

__all__ = [
    "Attribution",
    "Evaluation",
    "Interactions",
    "LayerAttribution",
    "baseline_band",
    "concept_sensitivity",
    "counterfactual",
    "evaluate",
    "explain",
    "explain_layer",
    "influential",
    "interactions",
    "leave_one_out",
    "methods",
    "nearest_training_rows",
    "permutation_importance",
    "preflight",
]
_HOMES = {
    "Evaluation": "evaluation.evaluation",
    "Interactions": "shapley.interactions",
    "LayerAttribution": "layers",
    "baseline_band": "evaluation.baseline_band",
    "concept_sensitivity": "concepts",
    "counterfactual": "counterfactuals",
    "evaluate": "evaluation.evaluation",
    "explain_layer": "layers",
    "influential": "examples.tracin",
    "interactions": "shapley.interactions",
    "leave_one_out": "examples.left_out",
    "nearest_training_rows": "examples.nearest",
    "permutation_importance": "permuted",
}


def __getattr__(name: str) -> Any:
    """The public names, imported where they are asked for: views of evidence load no torch."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"auditkit.attribution.{_HOMES.get(name, 'explanation')}"), name)
