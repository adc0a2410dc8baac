"""Performance: how well does the model do, how sure is that, and does it hold on data it was not fitted on?"""

from dashboard.parts.choice import chosen
from dashboard.parts.mistakes import show_mistakes
from dashboard.parts.sections import show_discipline

show_discipline(
    chosen(),
    "performance",
    "Performance",
    "How well does the model do, how sure is that, and does it hold on data it was not fitted on?",
    also=show_mistakes,
)
