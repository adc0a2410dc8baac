"""Readers: what tells how many joules a window took, part by part, and whether they were measured or estimated.

`CodecarbonReader` runs one codecarbon tracker, offline, through `start_task` and `stop_task` only (`start()` beside
tasks makes codecarbon lose energy) with every argument given, so that no configuration file and no environment
variable changes a figure. It says of each part where it came from:

* cpu, by an energy counter (RAPL and its kin, package and memory): measured, to within 3 %;
* cpu, by the load model where there is no counter: this process's share of the rated power. Estimated. The truth lies
  somewhere between a tenth of the rated power and all of it, so that is the range; it is not a standard deviation;
* memory, by the module model (1.5 to 5 W a module), only where the cpu is estimated too: a counter has it already;
* gpu, by the NVML energy counter: measured, to within 5 % and one refresh of the counter (0.1 s).

A reader never answers with a zero it did not measure: what cannot be read is absent, with the reason.
Source of the rules: codecarbon 3.3.2 `core/resource_tracker.py`, `external/hardware.py`, `core/gpu_device.py`.
"""

from __future__ import annotations

import logging
import math
import sys
import tempfile
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, Protocol

Source = Literal["measured", "estimated", "absent"]
COARSE_SECONDS = 5.0
"""A counter's window shorter than this is said to be coarse."""

_COUNTERS = {"intel_rapl": "RAPL", "windows_emi": "Windows EMI (RAPL)", "intel_power_gadget": "Intel Power Gadget"}
_CPU_GAUGE, _GPU_GAUGE, _GPU_REFRESH, _POWER_REFRESH = 0.03, 0.05, 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one component took in a window: joules with a range, and how that is known."""

    component: str
    joules: float
    low_joules: float
    high_joules: float
    source: Source
    reader: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A window as a reader saw it. Without parts it is absent, and `reason` says why."""

    parts: tuple[Part, ...] = ()
    reason: str = ""


class Reader(Protocol):
    """Reads the energy of one window at a time. Either call may raise: the window is then absent."""

    def start(self) -> None:
        """Begin a window."""
        ...

    def stop(self) -> Reading:
        """End the window and say what it took."""
        ...


class NoReader:
    """Reads nothing, and says why."""

    def __init__(self, reason: str = "energy metering is switched off") -> None:
        self.reason = reason

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> Reading:
        """Absent, always."""
        return Reading(reason=self.reason)


class CodecarbonReader:
    """codecarbon, held to its safe use. The tracker is made at the first window (about two seconds, outside it)."""

    def __init__(self, country: str) -> None:
        self.country = country
        self._tracker: Any = None
        self._numbers = count(1)
        self._task = ""

    def start(self) -> None:
        """Begin a codecarbon task. Raises RuntimeError where codecarbon found nothing it could read."""
        tracker = self._ready()
        self._task = f"window-{next(self._numbers)}"  # a name used twice would end the first task again
        tracker.start_task(self._task)
        if tracker._active_task != self._task or not tracker._hardware:
            raise RuntimeError("codecarbon could not begin to read this machine's power")

    def stop(self) -> Reading:
        """End the task; its energy by component."""
        data = self._tracker.stop_task(self._task)
        if data is None:
            return Reading(reason="codecarbon returned no figures for this window")
        seconds = float(data.duration)
        parts = [part for item in self._tracker._hardware if (part := _part(item, data, seconds)) is not None]
        if any(part.component == "cpu" and part.source == "measured" for part in parts):
            parts = [part for part in parts if part.component != "memory"]
        broken = [part for part in parts if not math.isfinite(part.joules) or part.joules < 0]
        still = [part for part in parts if part.source == "measured" and part.joules == 0]
        if broken or not parts:
            return Reading(reason="codecarbon returned no usable figure for this window")
        if still:
            return Reading(
                reason=f"the counter of the {still[0].component} did not move in {seconds:.2g} s: too short a window"
            )
        if sum(part.joules for part in parts) == 0:
            return Reading(reason=f"the power model saw no work in {seconds:.2g} s: too short a window")
        return Reading(tuple(parts))

    def _ready(self) -> Any:
        if self._tracker is not None:
            if self._tracker._active_task is not None:  # a window that broke off must not run into the next
                self._tracker.stop_task(self._tracker._active_task)
            return self._tracker
        from codecarbon import OfflineEmissionsTracker

        logging.getLogger("codecarbon").setLevel(logging.ERROR)  # what it says before it has read our level
        tracker = OfflineEmissionsTracker(**pinned(self.country))
        if not hasattr(tracker, "_hardware"):
            raise RuntimeError("codecarbon could not be set up on this machine")
        tracker._ensure_hardware_ready()
        if tracker._conf.get("country_iso_code") != self.country:
            raise RuntimeError(f"codecarbon did not take the country {self.country!r}")
        self._tracker = tracker
        return tracker


def pinned(country: str) -> dict[str, Any]:
    """Every argument of codecarbon's offline tracker, given, so that no file or variable outside can change one.

    The one left out is `co2_signal_api_token`, a deprecated double of the token, which an empty token disarms.
    """
    return {
        "country_iso_code": country,
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
        "country_2letter_iso_code": None,
        "project_name": "auditkit",
        "measure_power_secs": 1,
        "api_call_interval": -1,
        "api_endpoint": "",
        "api_key": "",
        "output_dir": tempfile.gettempdir(),
        "output_file": "emissions.csv",
        "output_methods": [],
        "logging_logger": None,
        "prometheus_url": "",
        "output_handlers": [],
        "gpu_ids": _gpu_in_use(),
        "emissions_endpoint": None,
        "experiment_id": "auditkit",
        "experiment_name": "auditkit",
        "electricitymaps_api_token": "",
        "tracking_mode": "process",
        "log_level": "error",
        "on_csv_write": "append",
        "logger_preamble": "",
        "force_cpu_power": None,
        "force_ram_power": None,
        "pue": 1.0,
        "wue": 0,
        "force_carbon_intensity_g_co2e_kwh": None,
        "force_mode_cpu_load": False,
        "allow_multiple_runs": True,
        "rapl_include_dram": True,
        "rapl_prefer_psys": False,
        "metadata": None,
    }


def _gpu_in_use() -> list[int] | None:
    """The NVML index of the GPU that torch uses, or None for all of them. Never imports torch.

    torch counts only the visible devices, NVML counts all, so the two are matched by the device's UUID.
    """
    torch = sys.modules.get("torch")
    try:
        if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
            return None
        import pynvml

        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return [int(pynvml.nvmlDeviceGetIndex(handle))]
    except Exception:
        return None


def _part(item: Any, data: Any, seconds: float) -> Part | None:
    """One of codecarbon's hardware records as a part, by the kind of record it is."""
    joules = {"cpu": data.cpu_energy * 3.6e6, "gpu": data.gpu_energy * 3.6e6, "memory": data.ram_energy * 3.6e6}
    match type(item).__name__:
        case "CPU" if item._mode in _COUNTERS:
            text = f"{_COUNTERS[item._mode]} counter, whole package"
            return _measured("cpu", joules["cpu"], text, _CPU_GAUGE)
        case "CPU":
            return _modelled_cpu(item, joules["cpu"], seconds)
        case "GPU":
            return _gpu(item, joules["gpu"], seconds)
        case "RAM":
            low, high = (1.0, 5 / 1.5) if item.is_arm_cpu else (1.5 / 5, 1.0)
            total = joules["memory"]
            return Part("memory", total, low * total, high * total, "estimated", "model of the machine's modules")
        case "Raspberry":
            name = "memory" if item.chip_part == "RAM" else "cpu"
            return _measured(name, joules[name], "power management chip", _GPU_GAUGE)
        case "AppleSiliconChip":
            name = item.chip_part.lower()
            spread = 0.5 * joules[name]
            text = "powermetrics, itself a model"
            return Part(name, joules[name], joules[name] - spread, joules[name] + spread, "estimated", text)
    return None


def _measured(component: str, joules: float, text: str, relative: float) -> Part:
    spread = min(1.0, relative) * joules
    return Part(component, joules, joules - spread, joules + spread, "measured", text)


def _modelled_cpu(item: Any, joules: float, seconds: float) -> Part:
    """The load model: a range from a tenth of the rated power, which an idle processor draws, to all of it."""
    rated = float(item._tdp)
    assumed = rated == 4 * item._cpu_count or item._is_generic_tdp
    power = f"an assumed {rated:g} W, no rating being known for {item._model}" if assumed else f"a rated {rated:g} W"
    text = f"this process's share of {power}" if item._mode == "cpu_load" else f"half of {power}"
    low, high = min(joules, 0.1 * rated * seconds), max(joules, rated * seconds)
    return Part("cpu", joules, low, high, "estimated", text)


def _gpu(item: Any, joules: float, seconds: float) -> Part | None:
    """The energy counter, or the average of power readings where a card has none. A machine without cards: no part."""
    watched = [device for device in item.devices.devices if device.gpu_index in item._get_gpu_ids()]
    if not watched:
        return None
    power = any(getattr(device, "_use_power_fallback", False) for device in watched)
    text = "NVML power readings, 1 a second" if power else "NVML energy counter"
    text += ", whole card" if len(watched) == 1 else f", {len(watched)} whole cards"
    refresh = _POWER_REFRESH if power else _GPU_REFRESH
    return _measured("gpu", joules, text, _GPU_GAUGE + refresh / max(seconds, 1e-9))
