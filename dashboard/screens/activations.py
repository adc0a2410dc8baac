"""Activations: what happens inside the model: are units dead or saturated, and do the classes come apart?"""

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_discipline

show_discipline(
    chosen(),
    "activations",
    "Activations",
    "What happens inside the model: are units dead or saturated, and do the classes come apart?",
)
