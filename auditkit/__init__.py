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
    from auditkit.fairness.check import FairnessCheck, check_fairness
    from auditkit.fairness.pushdown import check_table
    from auditkit.fairness.slices import find_slices

__all__ = [
    "Audit",
    "AuditError",
    "FairnessCheck",
    "InputError",
    "audit",
    "check_fairness",
    "check_table",
    "find_slices",
    "load_data",
    "load_model",
    "open_audit",
    "save_bundle",
]

_HOME = {
    "Audit": "auditkit.evidence.audit",
    "AuditError": "auditkit.errors",
    "FairnessCheck": "auditkit.fairness.check",
    "InputError": "auditkit.errors",
    "audit": "auditkit.api",
    "check_fairness": "auditkit.fairness.check",
    "check_table": "auditkit.fairness.pushdown",
    "find_slices": "auditkit.fairness.slices",
    "load_data": "auditkit.api",
    "load_model": "auditkit.api",
    "open_audit": "auditkit.evidence.audit",
    "save_bundle": "auditkit.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'auditkit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
