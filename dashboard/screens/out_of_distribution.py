"""Out of distribution: does the model notice rows unlike those it was fitted on, and which of them pass for normal?"""

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_discipline
from dashboard.parts.strange import show_strangest

show_discipline(
    chosen(),
    "ood",
    "Out of distribution",
    "Does the model notice rows unlike those it was fitted on, and which of them pass for normal?",
    also=show_strangest,
)
