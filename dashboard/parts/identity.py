"""What was audited: model, data, code and machine, as the audit recorded them."""

from typing import Any

import pyarrow as pa
import streamlit as st

from auditkit.evidence.store import Evidence
from auditkit.theme import NO_VALUE, number
from dashboard.parts.table import show_facts, show_grid, show_table
from dashboard.parts.text import muted

_ROLES = ("train", "validation", "test", "ood")


def show_subject(evidence: Evidence) -> None:
    """Model and data, for the reader who asks what this is about."""
    info = evidence.info
    model, schema = info["identities"]["model"], info["schema"]
    show_facts(
        {
            "Model": _text((model.get("architecture") or {}).get("path")),
            "Parameters": number(model.get("parameters"), "rows"),
            "Predicts": _predicts(schema),
            "Sensitive attributes": _listed(schema.get("sensitive")),
            "Features": _counted(schema.get("features")),
            "Audited": f"{info['created'][:16].replace('T', ' ')} UTC, audit {info['audit_id']}",
        }
    )
    splits = _splits(evidence)
    table = pa.table(
        {
            "Split": list(splits),
            "Role": [_text(entry.get("role")) for entry in splits.values()],
            "Rows": [number(entry.get("rows"), "rows") for entry in splits.values()],
            "Origin": [_text(entry.get("origin")) for entry in splits.values()],
        }
    )
    st.space("xsmall")
    show_table(table, key="splits")


def show_identities(evidence: Evidence) -> None:
    """Where everything came from, and the digest of everything that the results follow from."""
    info, splits = evidence.info, _splits(evidence)
    model, code, environment = (info["identities"][name] for name in ("model", "code", "environment"))
    libraries = {"python": environment.get("python"), **environment.get("libraries", {})}
    show_facts(
        {
            "Audit": f"{info['audit_id']}, {info['created'].replace('T', ' ')}",
            "Model from": _text(model.get("origin")),
            "Code": f"auditkit {_text(code.get('version'))}",
            "Machine": ", ".join(str(environment[name]) for name in ("system", "device") if environment.get(name)),
            "Ran with": ", ".join(f"{name} {_text(version)}" for name, version in libraries.items()),
        }
    )
    digests = {"Results": info["result_digest"], "Model": model.get("digest"), "Code": code.get("digest")}
    digests |= {f"Split {name}": entry.get("digest") for name, entry in splits.items()}
    known = {name: str(digest) for name, digest in digests.items() if digest}
    st.space("xsmall")
    show_grid(pa.table({"What": list(known), "SHA-256": list(known.values())}), key="digests")


def show_ledger(evidence: Evidence) -> None:
    """The cost ledger: how often each phase ran the model over each split, the shared pass first."""
    place = {name: index for index, name in enumerate(_splits(evidence))}
    entries = sorted(
        evidence.info["ledger"],
        key=lambda entry: (entry.get("phase") != "pass", entry.get("phase"), place.get(entry.get("split"), len(place))),
    )
    if not entries:
        st.markdown(muted("The model was not run: this audit judged predictions that were already made."))
        return
    st.markdown(
        muted(
            "Performance, fairness, activations and out-of-distribution share one forward pass: one forward per row "
            "and split. Only what needs gradients or changed inputs runs the model again, on a stated number of rows."
        )
    )
    counted = {"Rows": "rows", "Rows forwarded": "forwards", "Rows differentiated": "backwards"}
    columns = {name.capitalize(): [_text(entry.get(name)) for entry in entries] for name in ("phase", "split")}
    columns |= {title: [number(entry.get(name), "rows") for entry in entries] for title, name in counted.items()}
    columns["Forwards per row"] = [number(entry.get("forwards_per_row")) for entry in entries]
    show_table(pa.table(columns), key="ledger")


def _splits(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """The splits in the order of the pass."""
    data = evidence.info["identities"]["data"]
    rank = {role: place for place, role in enumerate(_ROLES)}
    return dict(sorted(data.items(), key=lambda item: rank.get(item[1].get("role"), len(rank))))


def _predicts(schema: dict[str, Any]) -> str:
    label, classes, positive = schema.get("label"), schema.get("classes"), schema.get("positive")
    if schema.get("task") == "regression":
        return f"{label or _listed(classes)}, a number"
    if schema.get("task") == "multilabel":
        return f"yes or no to each of {_listed(classes)}"
    of = f"{label}: {_listed(classes)}" if label else _listed(classes)
    return of + (f" (positive: {positive})" if positive else "")


def _listed(names: Any, most: int = 12) -> str:
    if not names:
        return NO_VALUE
    return ", ".join(str(name) for name in names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def _counted(names: Any) -> str:
    return f"{len(names)}: {_listed(names)}" if names else NO_VALUE


def _text(value: Any) -> str:
    return NO_VALUE if value in (None, "") else str(value)
