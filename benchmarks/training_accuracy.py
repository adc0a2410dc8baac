"""How well the built-in recipes do on people and digits they have never seen, over seeds.

The epoch is chosen by the validation rows; the test rows are looked at once for each seed, after the training. The
spread is over seeds (first weights, order of rows, dropout); the interval is what the test rows' number allows, 95 %
Wilson at the mean.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from sklearn.metrics import roc_auc_score

from auditkit.statistics.intervals import wilson
from auditkit.subject.builtin import builtin
from auditkit.training.recipe import load_recipe
from auditkit.training.train import train

TITLE = "Accuracy of the built-in recipes"
NAMES = ("adult", "digits")
SEEDS = tuple(range(5))


def rows() -> list[dict[str, Any]]:
    """A line for each recipe."""
    return [_line(name) for name in NAMES]


def _line(name: str) -> dict[str, Any]:
    splits, schema = builtin(name)
    test, accuracies, areas, epochs = splits["test"], [], [], []
    for seed in SEEDS:
        model = train(load_recipe(name).model_copy(update={"seed": seed}), splits, schema, device="cpu")
        with model.evaluating(), torch.inference_mode():
            chances = model.logits(model.encode(test)).softmax(1).numpy()
        accuracies.append(float((chances.argmax(1) == test.labels).mean()))
        many = {"multi_class": "ovr"} if chances.shape[1] > 2 else {}
        areas.append(float(roc_auc_score(test.labels, chances if many else chances[:, 1], **many)))
        epochs.append(model.record["best_epoch"])
    mean = statistics.mean(accuracies)
    low, high = wilson(round(mean * len(test)), len(test))
    return {
        "recipe": name,
        "network": model.architecture["path"].rpartition(":")[2],
        "test rows": len(test),
        "seeds": len(SEEDS),
        "accuracy": f"{mean:.4f}",
        "over seeds": f"{min(accuracies):.4f} to {max(accuracies):.4f}, SD {statistics.stdev(accuracies):.4f}",
        "95 % by rows": f"{low:.4f} to {high:.4f}",
        "AUROC": f"{statistics.mean(areas):.4f}",
        "best epoch": f"{min(epochs)} to {max(epochs)}",
    }
