"""Overview: what was audited, and does it meet what it was held to?"""

from dashboard.parts.banner import show_gates, show_verdict
from dashboard.parts.cards import show_cards
from dashboard.parts.choice import chosen
from dashboard.parts.identity import show_subject
from dashboard.parts.sections import show_caveats, show_heading, show_title

evidence = chosen()
show_title(evidence.info["name"], "What was audited, what was it held to, and does it meet that?")
show_verdict(evidence)
show_cards(evidence.rows)

if evidence.gates:
    show_heading(
        "The gates it was held to",
        "gates",
        "A gate passes only when the whole interval is within its limit, and fails only when the whole interval is "
        "beyond it. One that straddles the limit is inconclusive: more rows would decide it.",
    )
    show_gates(evidence.gates)

show_heading("What was audited", "subject")
show_subject(evidence)
show_caveats(evidence)
