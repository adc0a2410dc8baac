"""Energy of inference and of phases, against machines whose power is known."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditkit.energy.analysis import EnergyAnalysis
from auditkit.energy.inference import Estimate, joules_per_1000, measure, seconds_per_1000, t_interval
from auditkit.engine.analysis import Context
from auditkit.engine.ledger import Ledger
from auditkit.engine.meter import Meter
from auditkit.engine.progress import Progress
from auditkit.engine.reader import NoReader, Part, Reading
from auditkit.evidence.metrics import Findings
from auditkit.spec import AuditSpec, EnergySpec
from auditkit.subject.data import Schema, Split
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import fit_table
from auditkit.subject.subject import Subject


class Machine:
    """50 W at work; a row takes 10 µs. Its clock is the work done."""

    def __init__(self, source: str = "estimated", watts: float = 50.0) -> None:
        self.now, self.opened, self.source, self.watts = 0.0, 0.0, source, watts

    def clock(self) -> float:
        return self.now

    def score(self, index: int, rows: int = 200) -> int:
        self.now += rows * 1e-5
        return rows

    def start(self) -> None:
        self.opened = self.now

    def stop(self) -> Reading:
        joules = self.watts * (self.now - self.opened)
        return Reading((Part("cpu", joules, 0.2 * joules, 2 * joules, self.source, "model"),))  # type: ignore[arg-type]


def test_joules_per_thousand_rows_is_power_times_time() -> None:
    machine = Machine()
    meter = Meter("DEU", reader=machine, clock=machine.clock)
    blocks = measure(machine.score, 4, meter, blocks=5, seconds=1.0, clock=machine.clock)
    assert [block.rows for block in blocks] == [100_000] * 5  # as many whole batches as fit a second
    assert seconds_per_1000(blocks).value == pytest.approx(0.01)
    energy = joules_per_1000(blocks)
    assert isinstance(energy, Estimate)
    assert energy.value == pytest.approx(0.5)
    # Equal blocks leave the model's range alone.
    assert [energy.lower, energy.upper] == pytest.approx([0.1, 1.0])


def test_a_batch_longer_than_a_block_is_one_batch() -> None:
    machine = Machine()
    meter = Meter("DEU", reader=machine, clock=machine.clock)
    blocks = measure(lambda i: machine.score(i, 10_000), 1, meter, blocks=3, seconds=0.01, clock=machine.clock)
    assert [block.rows for block in blocks] == [10_000] * 3


def test_the_interval_covers_the_truth_in_about_95_of_100() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(10, 1, (2000, 5))
    covered = [(e := t_interval(list(row))).lower <= 10 <= e.upper for row in draws]
    assert 0.935 <= np.mean(covered) <= 0.965


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=10))
def test_the_interval_holds_its_mean_and_stays_above_zero(values: list[float]) -> None:
    estimate = t_interval(values)
    assert 0 <= estimate.lower <= estimate.value + 1e-12
    assert estimate.value <= estimate.upper + 1e-12


def test_one_block_without_energy_leaves_no_figure() -> None:
    machine = Machine()

    class Fails(Machine):
        def stop(self) -> Reading:
            self.calls = getattr(self, "calls", 0) + 1
            return Reading(reason="it broke") if self.calls == 3 else super().stop()

    machine = Fails()
    meter = Meter("DEU", reader=machine, clock=machine.clock)
    blocks = measure(machine.score, 2, meter, blocks=5, seconds=0.5, clock=machine.clock)
    reason = joules_per_1000(blocks)
    assert reason == "1 of 5 blocks have no energy: it broke"


def _context(rows: int = 300, roles: tuple[str, ...] = ("train", "test")) -> Context:
    schema = Schema(features=("a", "b"), classes=("0", "1"), label="y")
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "y": rng.integers(0, 2, rows)})
    splits = tuple(Split(role, role, table, schema) for role in roles)  # type: ignore[arg-type]
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(), torch.nn.Linear(8, 2))
    model = Model(module, ("0", "1"), fit_table(splits[0], ("a", "b")), device=torch.device("cpu"))
    spec = AuditSpec(batch_size=128, energy=EnergySpec(blocks=3, seconds=0.02))
    return Context(Subject("tiny", model, splits, schema), spec, Ledger(), Progress(quiet=True))


class Constant:
    """100 W by the wall clock, measured."""

    def start(self) -> None:
        import time

        self.opened = time.perf_counter()

    def stop(self) -> Reading:
        import time

        joules = 100 * (time.perf_counter() - self.opened)
        return Reading((Part("cpu", joules, 0.97 * joules, 1.03 * joules, "measured", "counter"),))


def _row(findings: Findings, metric: str) -> object:
    return next(row for row in findings.measured if row.metric == metric)


def test_the_analysis_states_energy_time_and_carbon_outside_the_results() -> None:
    context = _context()
    context.subject.model.module.train()
    findings = EnergyAnalysis(Constant()).conclude(context, {})
    assert not findings.metrics
    assert not findings.tables
    rows = {row.metric: row for row in findings.measured}
    energy, seconds = rows["joules_per_1000_rows"], rows["seconds_per_1000_rows"]
    carbon = rows["co2_grams_per_1000_rows"]
    assert energy.value is not None
    assert seconds.value is not None
    assert energy.value == pytest.approx(100 * seconds.value, rel=0.05)
    assert carbon.value == pytest.approx(energy.value / 3.6e6 * 380.95)
    assert energy.lower is not None
    assert energy.upper is not None
    assert energy.lower <= 0.97 * energy.value
    assert energy.upper >= 1.03 * energy.value
    assert {row.status for row in rows.values()} == {"ok"}
    assert {(row.split, row.n, row.confidence) for row in rows.values()} == {("test", 3, 0.95)}
    assert energy.method.startswith("measured")
    assert "batches of 128 rows" in energy.method
    blocks = findings.measured_tables["blocks"]
    assert blocks.num_rows == 3
    assert sum(blocks["rows"].to_pylist()) > 0
    assert context.subject.model.module.training  # left as it was found
    assert [caveat for caveat in findings.caveats if "coarse" in caveat.text]


def test_the_ledger_counts_every_row_scored() -> None:
    context = _context()
    findings = EnergyAnalysis(Constant()).conclude(context, {})
    entry = next(entry for entry in context.ledger.entries() if entry["phase"] == "energy")
    assert (entry["split"], entry["rows"]) == ("test", 300)
    assert entry["forwards"] >= sum(findings.measured_tables["blocks"]["rows"].to_pylist()) + 3 * 44


def test_without_energy_the_rows_are_absent_and_the_time_stands() -> None:
    findings = EnergyAnalysis(NoReader("no permission to read")).conclude(_context(), {})
    energy = _row(findings, "joules_per_1000_rows")
    assert energy.status == "absent"  # type: ignore[attr-defined]
    assert energy.value is None  # type: ignore[attr-defined]
    assert "no permission" in energy.reason  # type: ignore[attr-defined]
    assert _row(findings, "co2_grams_per_1000_rows").status == "absent"  # type: ignore[attr-defined]
    seconds = _row(findings, "seconds_per_1000_rows")
    assert seconds.status == "ok"  # type: ignore[attr-defined]
    assert findings.measured_tables["blocks"]["joules"].null_count == 3


def test_without_a_test_split_everything_is_absent() -> None:
    findings = EnergyAnalysis(Constant()).conclude(_context(roles=("train",)), {})
    assert {row.status for row in findings.measured} == {"absent"}
    assert {row.reason for row in findings.measured} == {"the audit has no test split"}


def test_one_row_is_enough() -> None:
    findings = EnergyAnalysis(Constant()).conclude(_context(rows=1), {})
    seconds = _row(findings, "seconds_per_1000_rows")
    assert seconds.status == "ok"  # type: ignore[attr-defined]
    assert math.isfinite(seconds.value)  # type: ignore[attr-defined]


def test_an_estimate_is_said_to_be_one() -> None:
    findings = EnergyAnalysis().conclude(_context(), {})
    energy = _row(findings, "joules_per_1000_rows")
    if energy.status == "ok" and energy.method.startswith("estimated"):  # type: ignore[attr-defined]
        assert energy.lower < energy.value < energy.upper  # type: ignore[attr-defined]
        assert any("estimated, not measured" in caveat.text for caveat in findings.caveats)
