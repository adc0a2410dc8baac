"""Any scikit-learn classifier and any Python callable as a `Model`: asked, and not looked into."""

from auditkit.subject.blackbox.model import BlackBox, BlackBoxModel, black_box, is_estimator

__all__ = ["BlackBox", "BlackBoxModel", "black_box", "is_estimator"]
