"""All attribution methods, by name.

A new method is one file with a function `(engine, explicands, ...) -> PartAttribution` and its `METHOD`, and a line
here.
"""

from __future__ import annotations

from auditkit.attribution import grad_cam, gradient_x_input, integrated_gradients, occlusion
from auditkit.attribution.method import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        integrated_gradients.METHOD,
        gradient_x_input.METHOD,
        occlusion.METHOD,
        grad_cam.METHOD,
    )
}
