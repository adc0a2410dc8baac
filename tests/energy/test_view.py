"""What the energy sections say, and that they cope with what is missing."""

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa

from auditkit.energy.phases import phase_rows, phases_table
from auditkit.energy.quantity import quantity, span
from auditkit.energy.view import sections
from auditkit.engine.meter import Cost
from auditkit.engine.reader import Source
from auditkit.evidence.metrics import MetricRow


@dataclass
class Evidence:
    rows: list[MetricRow] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    caveats: list[Any] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> pa.Table | None:
        return self.tables.get(name)


def _cost(phase: str, joules: float | None, source: Source = "estimated") -> Cost:
    low, high = (None, None) if joules is None else (0.5 * joules, 1.5 * joules)
    return Cost(phase, 2.0, joules, low, high, source, "model", "DEU", "Germany", 380.95, 2023, "why")


def _evidence(*costs: Cost) -> Evidence:
    table = phases_table(costs, None)
    return Evidence(phase_rows(table), {"energy/phases": table})


def test_nothing_measured_gives_no_sections() -> None:
    assert sections(Evidence()) == []


def test_the_phases_sentence_names_energy_source_grid_and_largest_phase() -> None:
    made = sections(_evidence(_cost("pass", 100.0), _cost("ood", 1000.0)))
    assert [section.key for section in made] == ["phases"]
    finding = made[0].finding
    for part in ("1.1 kJ", "estimated", "116 mg", "Germany", "ood", "training"):
        assert part in finding or part.replace("116", "120") in finding, (part, finding)
    assert "380.95 g of CO₂e per kWh in 2023" in made[0].how
    assert isinstance(made[0].figure, go.Figure)
    assert made[0].table is not None
    assert made[0].table["source"].to_pylist() == ["absent", "estimated", "estimated"]


def test_phases_without_any_energy_have_no_figure_and_say_so() -> None:
    (made,) = sections(_evidence(_cost("pass", None, "absent")))
    assert made.figure is None
    assert "not known" in made.finding
    assert made.table is not None
    assert made.table["energy"].to_pylist() == ["–", "–"]


def test_an_absent_phase_is_named_in_the_figure() -> None:
    (made,) = sections(_evidence(_cost("pass", 100.0), _cost("<b>ood</b>", None, "absent")))
    notes = [(note.y, note.text) for note in made.figure.layout.annotations]
    assert ("&lt;b&gt;ood&lt;/b&gt;", "absent") in notes


def _inference(status: str = "ok") -> Evidence:
    energy: dict[str, Any] = {"split": "test", "unit": "J", "better": "lower", "status": status}
    if status == "ok":
        energy |= {"value": 0.0123, "lower": 0.004, "upper": 0.02, "n": 5, "method": "estimated; throughput; model"}
    else:
        energy |= {"reason": "no reader"}
    seconds = {"split": "test", "unit": "s", "value": 0.0021, "lower": 0.002, "upper": 0.0022, "method": "throughput"}
    blocks = pa.table({"rows": [1000, 1000], "joules": [0.012, 0.0126], "source": ["estimated"] * 2})
    rows = [
        MetricRow("energy", "joules_per_1000_rows", **energy),
        MetricRow("energy", "seconds_per_1000_rows", **seconds),  # type: ignore[arg-type]
    ]
    return Evidence(rows, {"energy/blocks": blocks})


def test_the_inference_sentence_has_units_a_person_reads() -> None:
    (made,) = sections(_inference())
    assert made.finding == (
        "The model takes 12 mJ [4, 20] (estimated) and 2.10 ms [2.00, 2.20] to score 1,000 rows, in full batches."
    )
    assert list(made.figure.data[0].y) == [12.0, 12.6]
    assert made.figure.layout.yaxis.title.text == "energy per 1,000 rows (mJ)"


def test_inference_without_energy_keeps_the_time_and_the_reason() -> None:
    (made,) = sections(_inference("absent"))
    assert made.figure is None
    assert "2.10 ms" in made.finding
    assert "no reader" in made.finding


def test_quantities() -> None:
    assert quantity(4200.0, "s") == "4,200 s"
    assert quantity(0.0, "J") == "0 J"
    assert quantity(3e-7, "g") == "0.300 µg"
    assert span(1.0, "J", None, None) == "–"


def test_the_view_imports_neither_torch_nor_streamlit() -> None:
    code = (
        "import sys, auditkit.energy.view; print([n for n in ('torch', 'streamlit', 'codecarbon') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
