"""Performance: how well does the model do, how sure is that, and does it hold on data it was not fitted on?"""

from dashboard.parts.choice import chosen
from dashboard.parts.mistakes import show_mistakes
from dashboard.parts.sections import show_discipline

evidence = chosen()
show_discipline(
    evidence,
    "performance",
    "Performance",
    "How well does the model do, how sure is that, and does it hold on data it was not fitted on?",
)
show_mistakes(evidence)
