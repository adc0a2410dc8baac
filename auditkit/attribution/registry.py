"""All attribution methods, by name.

A new method is one file with a function `(engine, explicands, ...) -> PartAttribution` and its `METHOD`, and a line
here.
"""

from __future__ import annotations

from auditkit.attribution import (
    expected_gradients,
    grad_cam,
    gradient_shap,
    gradient_x_input,
    integrated_gradients,
    lime,
    noise_tunnel,
    occlusion,
    saliency,
    smoothgrad,
)
from auditkit.attribution.attention import attention_x_gradient, raw, rollout
from auditkit.attribution.cam import grad_cam_plus_plus, score_cam
from auditkit.attribution.method import Method
from auditkit.attribution.relevance import deep_lift, deep_lift_shap, guided_backprop, lrp
from auditkit.attribution.shapley import exact, gaussian, interventional, kernel, permutation

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        integrated_gradients.METHOD,
        gradient_x_input.METHOD,
        occlusion.METHOD,
        grad_cam.METHOD,
        saliency.METHOD,
        smoothgrad.METHOD,
        noise_tunnel.METHOD,
        expected_gradients.METHOD,
        gradient_shap.METHOD,
        deep_lift.METHOD,
        deep_lift_shap.METHOD,
        lrp.METHOD,
        guided_backprop.METHOD,
        guided_backprop.DECONVOLUTION,
        exact.METHOD,
        kernel.METHOD,
        gaussian.METHOD,
        permutation.METHOD,
        interventional.METHOD,
        lime.METHOD,
        grad_cam_plus_plus.METHOD,
        score_cam.METHOD,
        raw.METHOD,
        rollout.METHOD,
        attention_x_gradient.METHOD,
    )
}
