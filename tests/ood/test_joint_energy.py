"""Several labels: joint energy is its formula, and detectors of classes are left out, with the reason."""

import numpy as np
import torch

from auditkit.engine.analysis import Observation
from auditkit.ood.joint_energy import joint_energy_score
from auditkit.ood.panel import EACH_ITS_OWN, ONE_IS_RIGHT, fit_panel
from auditkit.ood.reference import Reference, ReferenceObserver
from auditkit.ood.registry import DETECTORS, chosen


def test_joint_energy_is_the_sum_of_the_labels_energies():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3
    exact = logits.double().numpy()
    assert np.allclose(joint_energy_score(logits), -np.log1p(np.exp(exact)).sum(axis=1))
    assert torch.isfinite(joint_energy_score(torch.tensor([[1e4, -1e4]]))).all()


def test_more_labels_that_are_known_make_a_row_more_usual_which_the_largest_logit_does_not_see():
    one, two = torch.tensor([[5.0, -5.0, -5.0]]), torch.tensor([[5.0, 5.0, -5.0]])
    assert joint_energy_score(two) < joint_energy_score(one)


def test_detectors_are_those_of_the_task():
    several = [detector.name for detector in chosen(None, several=True)]
    assert "joint_energy" in several
    assert "joint_energy" not in [detector.name for detector in chosen(None)]
    panel = fit_panel(chosen(None, several=True), Reference(rows=10), several=True)
    assert set(panel.fitted) == {"max_logit", "joint_energy"}
    assert {panel.refused[name].reason for name in ("msp", "energy", "gen")} == {ONE_IS_RIGHT}
    asked = fit_panel([DETECTORS["joint_energy"]], Reference(rows=10))
    assert asked.refused["joint_energy"].reason == EACH_ITS_OWN


def test_distances_are_to_all_training_rows_together():
    features = torch.randn(90, 3, generator=torch.Generator().manual_seed(1))
    logits = torch.randn(90, 4, generator=torch.Generator().manual_seed(2))
    observer = ReferenceObserver(1, None, 100, 5, seed=0)
    observer.update(Observation(np.arange(90), np.full(90, -1), logits, features))
    moments = observer.reference().features
    assert moments.counts.tolist() == [90]
    assert np.allclose(moments.means[0], features.double().mean(dim=0))
    panel = fit_panel([DETECTORS["mahalanobis"], DETECTORS["relative_mahalanobis"]], observer.reference(), several=True)
    assert set(panel.fitted) == {"mahalanobis"}
    assert "one class only" in panel.refused["relative_mahalanobis"].reason
