"""What was tried before this model was chosen: the trials of a search for hyper-parameters, from the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from auditkit.evidence.section import Section
from auditkit.theme import number

TABLE = "search"


def search_table(record: Mapping[str, Any]) -> pa.Table | None:
    """One line per trial: its settings, how it ended, what it reached. None for a model that was not searched for."""
    search = record.get("search") or {}
    trials = search.get("trials") or []
    if not trials:
        return None
    best = search.get("best")
    return pa.table(
        {
            "trial": pa.array([trial["number"] + 1 for trial in trials], pa.int64()),
            "settings": [json.dumps(trial["settings"], sort_keys=True) for trial in trials],
            "state": [trial["state"] for trial in trials],
            "value": pa.array([trial["value"] for trial in trials], pa.float64()),
            "epochs": pa.array([trial["epochs"] for trial in trials], pa.int64()),
            "chosen": [trial["number"] == best for trial in trials],
            "objective": [str(search.get("objective", ""))] * len(trials),
        }
    )


def search_section(evidence: Any) -> Section | None:
    """The section of a model that was searched for; None for others."""
    table = evidence.table(f"performance/{TABLE}")
    if table is None:
        return None
    lines = table.to_pylist()
    chosen = next((line for line in lines if line["chosen"]), None)
    objective = lines[0]["objective"].replace("_", " ")
    reached = "" if chosen is None or chosen["value"] is None else f", with a {objective} of {number(chosen['value'])}"
    first = "" if chosen is None else f"; trial {chosen['trial']} was kept{reached}"
    return Section(
        key="search",
        title="What was tried before",
        finding=f"{number(len(lines), 'rows')} settings were tried{first}.",
        table=pa.table(
            {
                "trial": [str(line["trial"]) for line in lines],
                "settings": [_told(line["settings"]) for line in lines],
                objective: ["–" if line["value"] is None else number(line["value"]) for line in lines],
                "epochs": [str(line["epochs"]) for line in lines],
                "how it ended": ["kept" if line["chosen"] else line["state"] for line in lines],
            }
        ),
        how="The more settings are tried, the better the best one looks on the rows it was chosen by. These were the "
        "validation rows; the test rows took no part, so figures on them need no correction for it.",
    )


def _told(settings: str) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in json.loads(settings).items()
    )
