"""Fairness: does the model treat groups of people alike, and are the groups large enough to tell?"""

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_discipline

show_discipline(
    chosen(),
    "fairness",
    "Fairness",
    "Does the model treat groups of people alike, and are the groups large enough to tell?",
)
