"""Fairness: does the model treat groups of people alike, and are the groups large enough to tell?"""

from functools import partial

from dashboard.parts.choice import chosen
from dashboard.parts.sections import show_sections, show_title
from dashboard.parts.threshold import has_scores, show_thresholds

TRIED = "Try another threshold"

evidence = chosen()
show_title("Fairness", "Does the model treat groups of people alike, and are the groups large enough to tell?")
others = {TRIED: partial(show_thresholds, evidence)} if has_scores(evidence) else {}
show_sections(evidence, "fairness", others=others)
