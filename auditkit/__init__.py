"""auditkit: audit a deep model before it is deployed.

    import auditkit as ak

    policy = {"demographic_parity_ratio": {"at_least": 0.8}}
    ak.check_fairness(y_true, y_pred, sensitive_features={"sex": sex}, policy=policy)

    model = ak.load_model("models/adult")
    audit = ak.audit(model, {"train": "train.parquet", "test": "test.parquet"}, label="income", positive=">50K",
                     sensitive=["sex", "race"])
    audit.verdict, audit.metrics, audit.tables["fairness/rates"], audit.figures
    audit = ak.open_audit("reports/adult/0123456789ab")

Everything is imported when it is first used: checking fairness imports neither torch nor streamlit.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditkit.api import audit, load_data, load_model, save_bundle
    from auditkit.errors import AuditError, InputError
    from auditkit.evidence.audit import Audit, open_audit
    from auditkit.fairness.check import check_fairness
    from auditkit.fairness.counted import check_counts
    from auditkit.fairness.counting.published import read_counts, write_counts
    from auditkit.fairness.counting.pushdown import check_table
    from auditkit.fairness.outcomes.check import check_outcomes
    from auditkit.fairness.result import Check, FairnessCheck
    from auditkit.fairness.slices import find_slices
    from auditkit.variants.compare import compare_variants
    from auditkit.variants.derive import derive

__all__ = [
    "Audit",
    "AuditError",
    "Check",
    "FairnessCheck",
    "InputError",
    "audit",
    "check_counts",
    "check_fairness",
    "check_outcomes",
    "check_table",
    "compare_variants",
    "derive",
    "find_slices",
    "load_data",
    "load_model",
    "open_audit",
    "read_counts",
    "save_bundle",
    "write_counts",
]

_HOME = {
    "Audit": "auditkit.evidence.audit",
    "AuditError": "auditkit.errors",
    "Check": "auditkit.fairness.result",
    "FairnessCheck": "auditkit.fairness.result",
    "InputError": "auditkit.errors",
    "audit": "auditkit.api",
    "check_counts": "auditkit.fairness.counted",
    "check_fairness": "auditkit.fairness.check",
    "check_outcomes": "auditkit.fairness.outcomes.check",
    "check_table": "auditkit.fairness.counting.pushdown",
    "compare_variants": "auditkit.variants.compare",
    "derive": "auditkit.variants.derive",
    "find_slices": "auditkit.fairness.slices",
    "load_data": "auditkit.api",
    "load_model": "auditkit.api",
    "open_audit": "auditkit.evidence.audit",
    "read_counts": "auditkit.fairness.counting.published",
    "save_bundle": "auditkit.api",
    "write_counts": "auditkit.fairness.counting.published",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'auditkit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
