"""Two methods on one row: one scale, shares that add up, agreement and proof from evidence, hostile names as text."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from auditkit.attribution.comparison import comparison
from auditkit.attribution.picture_figures import pictures
from auditkit.attribution.preflight_view import preflight_section
from auditkit.attribution.proof import NOT_KEPT, agreement, proof
from auditkit.evidence.metrics import MetricRow

HOSTILE = "<script>alert(1)</script>"
NAMES = {"a": "Method A", "b": "Method B"}
METHODS = pa.table(
    {
        "method": ["a", "b", "c"],
        "title": ["Method A", "Method B", "Method C"],
        "status": ["valid", "degraded", "refused"],
        "reason": ["", "it leaves out the tail", "it is for pictures"],
        "complete": [True, False, True],
        "signed": [True, False, True],
    }
)
ROWS = pa.table(
    {
        "method": ["a", "b"],
        "row": [4, 4],
        "label": [HOSTILE, HOSTILE],
        "prediction": ["x", "x"],
        "target": ["t", "t"],
        "score": [2.0, 2.0],
        "baseline_score": [-1.0, -1.0],
        "gap": [0.01, 1.0],
        "relative_gap": [0.004, 0.5],
        "evaluations": [64, 1],
        "steps": pa.array([32, None], pa.int64()),
        "converged": pa.array([True, None], pa.bool_()),
    }
)


def evidence_of(explanations: pa.Table, **tables: pa.Table) -> SimpleNamespace:
    found = {"methods": METHODS, "rows": ROWS, "explanations": explanations, **tables}
    return SimpleNamespace(rows=[], table={f"attribution/{name}": table for name, table in found.items()}.get)


@pytest.fixture
def columns() -> SimpleNamespace:
    return evidence_of(
        pa.table(
            {
                "method": ["a"] * 3 + ["b"] * 3,
                "row": [4] * 6,
                "column": ["p", HOSTILE, "r"] * 2,
                "value": [1.0, -3.0, 0.0, 10.0, 20.0, 10.0],
            }
        ),
        inputs=pa.table({"row": [4] * 3, "column": ["p", HOSTILE, "r"], "value": [HOSTILE, "2", None]}),
    )


def maps_of() -> pa.Table:
    return pa.table(
        {
            "method": ["a", "b"],
            "row": [4, 4],
            "height": [2, 2],
            "width": [2, 2],
            "map": [[1.0, -3.0, 0.0, 0.0], [50.0, 50.0, 0.0, 0.0]],
        }
    )


def test_columns_are_shares_of_their_method_in_one_order_on_one_scale(columns):
    figure = comparison(columns, 4, "a", "b")
    first, second = figure.data
    assert list(first.x) == [-0.75, 0.25, 0.0]
    assert list(second.x) == [0.5, 0.25, 0.25]
    assert figure.layout.xaxis.range == figure.layout.xaxis2.range
    assert [row[1] for row in first.customdata] == [-3.0, 1.0, 0.0]
    assert isinstance(second.marker.color, str), "a method that tells no sign is in neither colour"


def test_hostile_names_are_text(columns):
    drawn = json.dumps(json.loads(comparison(columns, 4, "a", "b").to_json())).replace("\\u003c", "<")
    assert "<script>" not in drawn


def test_maps_lie_over_the_picture_on_one_scale():
    seen = pa.table({"row": [4], "channels": [1], "height": [4], "width": [4], "pixels": [[0.5] * 16]})
    figure = comparison(evidence_of(maps_of(), inputs=seen), 4, "a", "b")
    laid = [trace for trace in figure.data if trace.customdata is not None]
    np.testing.assert_allclose(laid[0].z, [[0.25, -0.75], [0, 0]])
    np.testing.assert_allclose(laid[1].z, [[0.5, 0.5], [0, 0]])
    assert {(trace.zmin, trace.zmax) for trace in laid} == {(-0.75, 0.75)}
    assert [trace.showscale for trace in laid] == [True, False]
    under = [trace for trace in figure.data if trace.customdata is None][1]
    assert (under.x0, under.dx) == (-0.25, 0.5), "four pixels of the picture lie over two cells of the map"


def test_maps_without_a_picture_and_of_zeros_are_drawn():
    zeros = maps_of().set_column(4, "map", [[[0.0] * 4, [0.0] * 4]])
    figure = pictures(zeros, None, ROWS, METHODS, [4], ["a", "b"])
    assert all(np.isfinite(trace.z).all() for trace in figure.data)


def test_words_stand_twice_with_the_same_breaks_and_one_scale():
    words = [f"word{place}" for place in range(12)]
    table = pa.table(
        {
            "method": ["a"] * 12 + ["b"] * 12,
            "row": [4] * 24,
            "position": [*range(1, 13)] * 2,
            "word": [*words[:-1], HOSTILE] * 2,
            "value": [1.0] * 12 + [100.0, *[0.0] * 11],
        }
    )
    figure = comparison(evidence_of(table), 4, "a", "b")
    notes = [note for note in figure.layout.annotations if note.hovertext]
    left, right = notes[:12], notes[12:]
    np.testing.assert_allclose([b.xshift - a.xshift for a, b in zip(left, right, strict=True)], 324)
    assert [note.yshift for note in left] == [note.yshift for note in right]
    assert "100.0%" in right[0].hovertext
    assert "8.3%" in left[0].hovertext
    assert not any("<script>" in note.text for note in notes)


def test_series_stand_side_by_side_on_one_scale():
    table = pa.table(
        {
            "method": ["a", "b"],
            "row": [4, 4],
            "channel": [HOSTILE, HOSTILE],
            "steps": [4, 4],
            "block": [2, 2],
            "values": [[1.0, -1.0], [0.0, 9.0]],
        }
    )
    seen = pa.table({"row": [4], "channel": [HOSTILE], "steps": [[1, 2, 3, 4]], "values": [[0.0, 1.0, 2.0, 3.0]]})
    figure = comparison(evidence_of(table, inputs=seen), 4, "a", "b")
    heats = [trace for trace in figure.data if trace.type == "heatmap"]
    assert [heat.z.tolist() for heat in heats] == [[[0.5, -0.5]], [[0.0, 1.0]]]
    assert {(heat.zmin, heat.zmax) for heat in heats} == {(-1.0, 1.0)}
    assert {heat.xaxis for heat in heats} == {"x", "x2"}
    assert "<script>" not in json.dumps(json.loads(figure.to_json())).replace("\\u003c", "<")


def test_what_is_not_there_gives_no_figure(columns):
    assert comparison(columns, 5, "a", "b") is None
    assert comparison(columns, 4, "a", "c") is None
    assert comparison(SimpleNamespace(rows=[], table=lambda name: None), 4, "a", "b") is None


def test_proof_is_read_from_evidence(columns):
    told = proof(columns, "a", 4)
    assert told["Validity"] == "valid for this model"
    assert told["Completeness gap"] == "0.40 % (+0.01)"
    assert told["Model evaluations"] == "64"
    assert told["Steps"] == "32, within the tolerance"
    other = proof(columns, "b", 4)
    assert other["Validity"] == "degraded: it leaves out the tail"
    assert "does not promise" in other["Completeness gap"]
    assert other["Steps"].startswith("none")
    assert proof(columns, "a", 5) == {}


def test_proof_of_an_older_audit_says_what_was_not_kept():
    rows = ROWS.drop_columns(["evaluations", "steps", "converged", "relative_gap"])
    old = SimpleNamespace(rows=[], table={"attribution/rows": rows}.get)
    told = proof(old, "a", 4)
    for fact in ("Validity", "Completeness gap", "Model evaluations", "Steps"):
        assert told[fact] == NOT_KEPT


def test_agreement_is_read_from_evidence_in_either_order_and_older_audits_say_why():
    kept = pa.table(
        {
            "row": [4, 5],
            "first": ["a", "a"],
            "second": ["b", "b"],
            "rank": pa.array([0.25, None], pa.float64()),
            "top": pa.array([0.6, None], pa.float64()),
            "sign": pa.array([None, None], pa.float64()),
            "k": [5, 5],
            "reason": ["Method B tells no sign", "neither method attributes anything"],
        }
    )
    evidence = evidence_of(maps_of(), row_agreement=kept)
    evidence.rows = [
        MetricRow("attribution", "agreement", detail="a · b", value=0.5, lower=0.4, upper=0.6, confidence=0.95, n=2)
    ]
    line = agreement(evidence, 4, "b", "a", NAMES)
    assert "correlate at 0.25" in line
    assert "60 % of the 5 weightiest parts" in line
    assert "Method B tells no sign" in line
    assert "Over 2 explained rows the median correlation is 0.50 [0.40, 0.60]." in line
    assert "nothing can be compared (neither method attributes anything)" in agreement(evidence, 5, "a", "b", NAMES)
    assert "no agreement of Method A and Method B on row 6" in agreement(evidence, 6, "a", "b", NAMES)
    assert "was not kept by this audit" in agreement(evidence_of(maps_of()), 4, "a", "b", NAMES)


def test_the_preflight_names_every_method_its_status_and_why():
    known = METHODS.select(["method", "title", "status", "reason"]).append_column("used", [[True, False, False]])
    (section,) = preflight_section(evidence_of(maps_of(), preflight=known))
    assert section.finding == "Of 3 methods, 1 is valid, 1 is degraded, 1 is refused on this model."
    assert section.table.to_pylist()[2] == {
        "method": "Method C",
        "on this model": "✕ refused",
        "why": "It is for pictures",
        "used in this audit": "",
    }
    (older,) = preflight_section(evidence_of(maps_of()))
    assert older.finding.startswith("Of the 3 methods that were asked for")
    assert "run it again" in older.how
    assert preflight_section(SimpleNamespace(table=lambda name: None)) == []
