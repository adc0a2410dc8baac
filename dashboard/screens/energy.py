"""Energy: what did training, auditing and each prediction cost, and was that measured or estimated?"""

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_discipline

show_discipline(
    chosen(),
    "energy",
    "Energy",
    "What did training, auditing and each prediction cost, and was that measured or estimated?",
)
