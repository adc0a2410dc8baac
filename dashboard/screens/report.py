"""Report & evidence: take the report along, and check that the evidence is as the audit left it."""

from dashboard.parts.choice import chosen
from dashboard.parts.downloads import show_downloads
from dashboard.parts.identity import show_identities, show_ledger
from dashboard.parts.integrity import show_check
from dashboard.parts.metric_table import show_metric_table
from dashboard.parts.sections import show_heading, show_title

evidence = chosen()

show_title("Report & evidence", "Take the report along, and check that the evidence is as the audit left it.")

show_heading("Reports", "reports")
show_downloads(evidence)

show_heading("Is the evidence as the audit left it?", "verify")
show_check(evidence)

show_heading("Every number of the audit", "metrics")
show_metric_table(evidence)

show_heading("What exactly was audited", "identities")
show_identities(evidence)

show_heading("How often the model was run", "ledger")
show_ledger(evidence)
