"""The meter against scripted power traces, and codecarbon's own figures against the model's bounds."""

import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.engine.grid import grid_of
from auditkit.engine.meter import COST_SCHEMA, Cost, Meter, NoMeter
from auditkit.engine.reader import CodecarbonReader, NoReader, Part, Reading, Source, _gpu, _part, pinned
from auditkit.errors import InputError


class Trace:
    """A machine whose power over time is known: a reader and the clock it runs by."""

    def __init__(self, watts: Callable[[float], float] = lambda _: 100.0, source: Source = "measured") -> None:
        self.now, self.watts, self.source, self.energy, self.opened = 0.0, watts, source, 0.0, 0.0

    def work(self, seconds: float, step: float = 0.01) -> None:
        for _ in range(round(seconds / step)):
            self.energy += self.watts(self.now) * step
            self.now += step

    def clock(self) -> float:
        return self.now

    def start(self) -> None:
        self.opened = self.energy

    def stop(self) -> Reading:
        joules = self.energy - self.opened
        return Reading((Part("cpu", joules, 0.97 * joules, 1.03 * joules, self.source, "scripted"),))


class Broken:
    def __init__(self, at: str) -> None:
        self.at = at

    def start(self) -> None:
        if self.at == "start":
            raise OSError("no permission")

    def stop(self) -> Reading:
        if self.at == "stop":
            raise ZeroDivisionError("inside")
        return Reading((Part("cpu", math.nan, math.nan, math.nan, "measured", "scripted"),))


def test_constant_power_is_power_times_time() -> None:
    trace = Trace()
    meter = Meter("DEU", reader=trace, clock=trace.clock)
    with meter.phase("pass") as cost:
        trace.work(10)
    assert cost.joules == pytest.approx(1000)
    assert cost.seconds == pytest.approx(10)
    assert [cost.low_joules, cost.high_joules] == pytest.approx([970, 1030])
    assert (cost.source, cost.reason) == ("measured", "")
    assert cost.kwh == pytest.approx(1000 / 3.6e6)
    assert cost.co2_g == pytest.approx(1000 / 3.6e6 * 380.95)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_phases_that_follow_one_another_add_up(tenths: list[int]) -> None:
    trace = Trace(lambda now: 50 + 10 * now)
    meter = Meter("DEU", reader=trace, clock=trace.clock)
    for index, length in enumerate(tenths):
        with meter.phase(f"phase {index}"):
            trace.work(length / 10)
    assert sum(cost.joules or 0 for cost in meter.costs) == pytest.approx(trace.energy)
    assert sum(cost.seconds for cost in meter.costs) == pytest.approx(sum(tenths) / 10)


def test_work_between_phases_belongs_to_none() -> None:
    trace = Trace()
    meter = Meter("DEU", reader=trace, clock=trace.clock)
    for _ in range(2):
        with meter.phase("pass"):
            trace.work(1)
        trace.work(5)
    assert [cost.joules for cost in meter.costs] == [pytest.approx(100), pytest.approx(100)]


def test_a_phase_inside_another_is_refused_and_the_outer_one_goes_on() -> None:
    trace = Trace()
    meter = Meter("DEU", reader=trace, clock=trace.clock)
    with meter.phase("outer") as outer:
        trace.work(1)
        with pytest.raises(RuntimeError, match=r"'inner' cannot begin inside 'outer'"), meter.phase("inner"):
            pass
        trace.work(1)
    assert outer.joules == pytest.approx(200)


def test_a_phase_that_fails_is_metered_too() -> None:
    trace = Trace()
    meter = Meter("DEU", reader=trace, clock=trace.clock)

    def fail() -> None:
        with meter.phase("pass"):
            trace.work(2)
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    with meter.phase("next"):
        trace.work(1)
    assert [cost.joules for cost in meter.costs] == [pytest.approx(200), pytest.approx(100)]


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (Broken("start"), "OSError: no permission"),
        (Broken("stop"), "ZeroDivisionError: inside"),
        (Broken("value"), "no usable figure"),
        (NoReader(), "switched off"),
    ],
)
def test_what_cannot_be_read_is_absent_and_never_zero(reader: object, reason: str) -> None:
    meter = Meter("DEU", reader=reader)  # type: ignore[arg-type]
    with meter.phase("pass") as cost:
        time.sleep(0.01)
    assert cost.source == "absent"
    assert (cost.joules, cost.low_joules, cost.high_joules, cost.kwh, cost.co2_g) == (None,) * 5
    assert reason in cost.reason
    assert cost.seconds > 0.005
    row = meter.table().to_pylist()[0]
    assert row["joules"] is None
    assert row["co2_g"] is None


def test_no_meter_times_but_does_not_meter() -> None:
    meter = NoMeter()
    with meter.phase("pass") as cost:
        time.sleep(0.01)
    assert cost.seconds > 0.005
    assert (cost.source, cost.joules) == ("absent", None)


@pytest.mark.parametrize(("seconds", "coarse"), [(1, True), (4.9, True), (5.1, False)])
def test_a_short_window_on_a_counter_is_called_coarse(seconds: float, coarse: bool) -> None:
    trace = Trace()
    meter = Meter("DEU", reader=trace, clock=trace.clock)
    with meter.phase("pass") as cost:
        trace.work(seconds)
    assert ("coarse" in cost.reason) is coarse


def test_one_estimated_part_makes_the_cost_an_estimate() -> None:
    parts = (Part("gpu", 900, 855, 945, "measured", "counter"), Part("cpu", 10, 1, 30, "estimated", "model"))
    reader = SimpleNamespace(start=lambda: None, stop=lambda: Reading(parts))
    meter = Meter("DEU", reader=reader)
    with meter.phase("pass") as cost:
        pass
    assert (cost.source, cost.joules, cost.low_joules, cost.high_joules) == ("estimated", 910, 856, 975)
    assert "gpu measured: counter" in cost.reader
    assert "cpu estimated: model" in cost.reader


def test_a_cost_survives_json() -> None:
    trace = Trace()
    meter = Meter("SWE", reader=trace, clock=trace.clock)
    with meter.phase("training") as cost:
        trace.work(7)
    text = json.dumps(cost.record(), allow_nan=False)
    assert Cost.from_record(json.loads(text)) == cost
    assert json.loads(text)["co2_g"] == pytest.approx(700 / 3.6e6 * grid_of("SWE").g_per_kwh)


def test_the_table_has_the_published_columns() -> None:
    assert NoMeter().table().schema == COST_SCHEMA


@pytest.mark.parametrize(
    ("country", "meant"),
    [
        ("DE", "'DEU' (Germany)"),
        ("Germany", "'DEU'"),
        ("CH", "'CHE' (Switzerland)"),
        ("XXX", "known: ABW"),
        ("", "ABW"),
    ],
)
def test_an_unknown_country_is_refused_with_what_may_be_meant(country: str, meant: str) -> None:
    with pytest.raises(InputError) as refusal:
        Meter(country)
    assert meant in str(refusal.value)


def test_the_grid_says_its_year_and_source() -> None:
    grid = grid_of("deu")
    assert (grid.country, grid.name, grid.g_per_kwh, grid.year) == ("DEU", "Germany", 380.95, 2023)
    assert "Our World in Data" in grid.source


def _device(**more: object) -> SimpleNamespace:
    return SimpleNamespace(gpu_index=0, **more)


def test_a_gpu_counter_carries_its_gauge_and_its_refresh() -> None:
    item = SimpleNamespace(
        devices=SimpleNamespace(devices=[_device(_use_power_fallback=False)]), _get_gpu_ids=lambda: [0]
    )
    part = _gpu(item, 1000.0, 10.0)
    assert part is not None
    assert part.source == "measured"
    assert [part.low_joules, part.high_joules] == pytest.approx([940, 1060])
    item.devices.devices = [_device(_use_power_fallback=True)]
    fallback = _gpu(item, 1000.0, 10.0)
    assert fallback is not None
    assert "power readings" in fallback.reader
    assert fallback.low_joules == pytest.approx(850)
    item.devices.devices = []
    assert _gpu(item, 0.0, 10.0) is None


class CPU:
    """Stands for codecarbon's record of a processor."""

    _cpu_count, _is_generic_tdp, _model = 8, False, "Some Processor"

    def __init__(self, mode: str, tdp: float) -> None:
        self._mode, self._tdp = mode, tdp


def test_the_load_model_gives_a_range_and_rapl_a_measurement() -> None:
    data = SimpleNamespace(cpu_energy=500 / 3.6e6, gpu_energy=0, ram_energy=0)
    modelled = _part(CPU("cpu_load", 100), data, 10.0)
    assert modelled is not None
    assert (modelled.source, modelled.low_joules, modelled.high_joules) == ("estimated", 100, 1000)
    assert "assumed" not in modelled.reader
    assumed = _part(CPU("cpu_load", 32), data, 10.0)
    assert assumed is not None
    assert "assumed" in assumed.reader
    assert assumed.high_joules == pytest.approx(500)  # never below the estimate itself
    measured = _part(CPU("intel_rapl", 100), data, 10.0)
    assert measured is not None
    assert measured.source == "measured"
    assert measured.low_joules == pytest.approx(485)


def test_every_argument_of_codecarbon_is_given() -> None:
    import inspect

    from codecarbon import OfflineEmissionsTracker
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    known = set(inspect.signature(OfflineEmissionsTracker.__init__).parameters) - {"self", "args", "kwargs"}
    known |= set(inspect.signature(BaseEmissionsTracker.__init__).parameters) - {"self"}
    deprecated = {"save_to_file", "save_to_api", "save_to_logger", "save_to_prometheus", "save_to_logfire"}
    assert set(pinned("DEU")) == known - deprecated - {"co2_signal_api_token"}


def test_codecarbon_offline_stays_within_the_model_and_out_of_the_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    """A busy second: within the load model's bounds, whatever the environment says, without a socket or a line."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the meter opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "100000")
    monkeypatch.setenv("CODECARBON_PUE", "9")
    monkeypatch.setenv("CODECARBON_CO2_SIGNAL_API_TOKEN", "secret")
    monkeypatch.setenv("CODECARBON_TRACKING_MODE", "machine")
    meter = Meter("SWE")
    with meter.phase("busy") as busy:
        end = time.perf_counter() + 1.0
        while time.perf_counter() < end:
            pass
    with meter.phase("idle") as idle:
        time.sleep(0.5)
    assert busy.seconds == pytest.approx(1.0, abs=0.2)
    for cost in (busy, idle):
        assert cost.source in ("measured", "estimated")
        assert cost.joules is not None
        assert 0 < cost.low_joules <= cost.joules <= cost.high_joules  # type: ignore[operator]
    cpu = {cost.phase: next(part for part in cost.parts if part.component == "cpu") for cost in (busy, idle)}
    if cpu["busy"].source == "estimated":
        reader = meter._reader
        assert isinstance(reader, CodecarbonReader)
        model = next(item for item in reader._tracker._hardware if type(item).__name__ == "CPU")
        assert model._tdp < 100000
        one_core = model._tdp / model._cpu_count
        assert cpu["busy"].joules <= model._tdp * busy.seconds * 1.1
        assert cpu["busy"].joules >= 0.2 * one_core  # one core was busy, on a machine that others may share
        assert cpu["idle"].joules < 0.5 * cpu["busy"].joules
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("country", ["DEU", "USA", "SWE", "CAN", "CHN", "POL"])
def test_the_grid_is_the_one_codecarbon_uses(country: str) -> None:
    reader = CodecarbonReader(country)
    reader.start()
    time.sleep(0.02)
    tracker = reader._tracker
    data = tracker.stop_task(reader._task)
    assert data.emissions * 1000 / data.energy_consumed == pytest.approx(grid_of(country).g_per_kwh)


def test_a_task_name_used_again_is_a_window_of_its_own() -> None:
    reader = CodecarbonReader("DEU")
    meter = Meter("DEU", reader=reader)
    for _ in range(3):
        with meter.phase("same") as cost:
            time.sleep(0.15)
        assert cost.parts
        assert cost.seconds < 1
    assert not [task for task in reader._tracker._tasks.values() if task.is_active]


def test_the_meter_does_not_import_torch_nor_codecarbon() -> None:
    code = (
        "import sys, auditkit.engine.meter as m; meter = m.Meter('DEU');"
        "print([name for name in ('torch', 'codecarbon', 'pandas', 'streamlit') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.gpu
def test_a_gpu_is_measured_by_its_counter() -> None:
    import torch

    square = torch.randn(4096, 4096, device="cuda")
    meter = Meter("DEU")
    with meter.phase("busy") as cost:
        end = time.perf_counter() + 6
        while time.perf_counter() < end:
            square = torch.nn.functional.normalize(square @ square)
            torch.cuda.synchronize()
    part = next(part for part in cost.parts if part.component == "gpu")
    assert part.source == "measured"
    assert "NVML" in part.reader
    assert part.reader.endswith(", whole card")
    assert 50 * cost.seconds < part.joules < 1500 * cost.seconds
