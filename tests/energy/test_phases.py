"""Phases of an audit: sums, ranges and what is absent."""

import pytest

from auditkit.energy.phases import phase_rows, phases_table
from auditkit.engine.meter import COST_SCHEMA, Cost
from auditkit.evidence.metrics import MetricRow


def _cost(phase: str, seconds: float, joules: float | None, source: str = "estimated", reason: str = "") -> Cost:
    known = joules is not None
    return Cost(
        phase,
        seconds,
        joules,
        0.5 * joules if known else None,  # type: ignore[operator]
        2 * joules if known else None,  # type: ignore[operator]
        source if known else "absent",  # type: ignore[arg-type]
        "model" if known else "",
        "DEU",
        "Germany",
        360.0,
        2023,
        reason,
    )


def _value(rows: list[MetricRow], metric: str, detail: str = "") -> MetricRow:
    return next(row for row in rows if (row.metric, row.detail) == (metric, detail))


def test_training_comes_first_and_is_not_part_of_the_audit() -> None:
    table = phases_table([_cost("pass", 2, 100), _cost("fairness", 1, 50)], _cost("fit", 60, 9000).record())
    assert table.schema == COST_SCHEMA
    assert table["phase"].to_pylist() == ["training", "pass", "fairness"]
    rows = phase_rows(table)
    total = _value(rows, "audit_joules")
    assert (total.value, total.lower, total.upper) == (150, 75, 300)
    assert _value(rows, "audit_seconds").value == 3
    carbon = _value(rows, "audit_co2_grams")
    assert [carbon.value, carbon.lower, carbon.upper] == pytest.approx([0.015, 0.0075, 0.03])
    assert _value(rows, "phase_joules", "training").value == 9000


def test_windows_of_one_phase_are_summed() -> None:
    costs = [_cost("pass", 2, 100), _cost("ood", 1, 10), _cost("pass", 3, 20, reason="coarse")]
    table = phases_table([cost.record() for cost in costs], None)
    record = table.to_pylist()[1]
    assert (record["phase"], record["seconds"], record["joules"], record["high_joules"]) == ("pass", 5, 120, 240)
    assert record["co2_g"] == pytest.approx(120 / 3.6e6 * 360)
    assert record["reason"] == "coarse"


def test_one_absent_window_makes_the_phase_and_the_total_absent() -> None:
    costs = [_cost("pass", 2, 100), _cost("pass", 3, None, reason="killed"), _cost("ood", 1, 10)]
    table = phases_table(costs, None)
    record = table.to_pylist()[1]
    assert (record["joules"], record["low_joules"], record["co2_g"], record["source"]) == (None, None, None, "absent")
    rows = phase_rows(table)
    assert _value(rows, "phase_joules", "pass").status == "absent"
    total = _value(rows, "audit_joules")
    assert (total.status, total.value) == ("absent", None)
    assert "pass" in total.reason
    assert _value(rows, "audit_seconds").value == 6


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "without a record"),
        ({}, "without a record"),
        ({"status": "absent", "reason": "the training was not metered"}, "not metered"),
    ],
)
def test_training_that_is_not_known_is_absent_with_the_reason(record: dict[str, str] | None, reason: str) -> None:
    table = phases_table([_cost("pass", 2, 100)], record)
    first = table.to_pylist()[0]
    assert (first["phase"], first["source"], first["joules"], first["seconds"]) == ("training", "absent", None, None)
    assert reason in first["reason"]
    rows = phase_rows(table)
    assert _value(rows, "phase_joules", "training").status == "absent"
    assert _value(rows, "audit_joules").status == "ok"


def test_no_phases_at_all() -> None:
    rows = phase_rows(phases_table([], None))
    assert _value(rows, "audit_joules").reason == "no phase was metered"
