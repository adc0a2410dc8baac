"""`vibration`: 3,000 made-up vibration signals of a turning machine that is healthy, worn or imbalanced.

Each row is an eighth of a second of three accelerometers (horizontal, vertical, axial; m/s2), 64 samples at 512 Hz. A
shaft turns 22 to 34 times a second and is seen as a sine of that frequency and its double. Imbalance makes the first
one grow across the shaft, horizontally and vertically, a quarter turn apart; a worn bearing strikes 3.6 times a turn,
and each strike rings at 150 Hz and fades in 8 ms (Randall and Antoni 2011, doi:10.1016/j.ymssp.2010.07.017). How far a
fault has gone varies by four. The machines stand at three sites; sensors at the harbour are noisier, and there are
fewer of them: whether alarms are as reliable there is a question for an audit of groups.

`half_rate` was recorded at 256 Hz by mistake, `dead_sensor` is the test set with the vertical sensor at zero, and
`loose` are machines with a fault never seen in training: a loose foot, which answers at half the shaft's frequency.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.subject.builtin.dealing import deal
from auditkit.subject.data import Schema, Split

SEED, ROWS, STEPS, RATE = 2003, 3_000, 64, 512.0
CHANNELS = ("horizontal", "vertical", "axial")
SITES = {"north": 0.45, "south": 0.4, "harbour": 0.15}
STRIKES, RINGING, FADING = 3.6, 150.0, 0.008
SCHEMA = Schema(("series",), ("healthy", "imbalanced", "worn"), "state", "healthy", ("site",))
Array = np.ndarray


def vibration() -> tuple[dict[str, Split], Schema]:
    """Signals float32 [n, 64, 3] with their machine's state and site."""
    random = np.random.default_rng(SEED)
    states, sites = random.integers(3, size=ROWS), random.choice(list(SITES), ROWS, p=list(SITES.values()))
    names = np.array(SCHEMA.classes)[states]
    series, table = signals(names, sites, random), pa.table({"state": names, "site": sites})
    splits: dict[str, Split] = {
        role: Split(role, role, table.take(pa.array(rows)), SCHEMA, {"series": series[rows]}, "built-in vibration")
        for role, rows in deal(list(zip(names, sites, strict=True)), SEED).items()
    }
    test = splits["test"]
    test_names, test_sites = (test.column(name).to_numpy() for name in ("state", "site"))
    dead = test.arrays["series"].copy()
    dead[:, :, CHANNELS.index("vertical")] = 0.0
    loose = np.full(len(test), "loose")
    others = {
        "half_rate": (test.table, signals(test_names, test_sites, random, rate=RATE / 2), "recorded at 256 Hz"),
        "dead_sensor": (test.table, dead, "test with the vertical sensor at zero"),
        "loose": (test.table.drop_columns(["state"]), signals(loose, test_sites, random), "machines with a loose foot"),
    }
    for name, (rows, array, origin) in others.items():
        splits[name] = Split(name, "ood", rows, SCHEMA, {"series": array}, f"built-in vibration, {origin}")
    return splits, SCHEMA


def signals(states: Array, sites: Array, random: np.random.Generator, rate: float = RATE) -> Array:
    """Signals float32 [n, 64, 3] of machines in these states at these sites, sampled `rate` times a second."""
    count = len(states)
    time = np.arange(STEPS)[None, :] / rate
    turning, angle = random.uniform(22, 34, (count, 1)), random.uniform(0, 2 * np.pi, (count, 3))
    shaft = 2 * np.pi * turning * time + angle[:, :1]
    severity = random.uniform(0.25, 1.0, (count, 1))
    first = random.lognormal(0.0, 0.25, (count, 1)) * (1 + 1.8 * severity * (states == "imbalanced")[:, None])
    second = random.lognormal(-1.0, 0.3, (count, 1))
    half = 1.5 * severity * (states == "loose")[:, None]
    strikes = 4.0 * severity * (states == "worn")[:, None] * _strikes(time, turning, random.random((count, 1)))
    double = second * np.sin(2 * shaft + angle[:, 1:2])
    knock = half * np.sin(shaft / 2 + angle[:, 2:])
    across = first * np.sin(shaft) + double + strikes + knock
    upright = first * np.cos(shaft) + double + 0.8 * strikes + 1.2 * knock
    along = 0.3 * np.sin(shaft + angle[:, 1:2]) + 0.5 * double + 0.4 * strikes
    clean = np.stack([across, upright, along], axis=2)
    noise = random.normal(size=clean.shape) * np.where(sites == "harbour", 0.8, 0.4)[:, None, None]
    return (clean + noise).astype(np.float32)


def _strikes(time: Array, turning: Array, start: Array) -> Array:
    """Ringing [n, steps] since the bearing's last strike; `start` is how far the first is off, in strikes."""
    since = np.mod(time * turning * STRIKES + start, 1.0) / (turning * STRIKES)
    return np.exp(-since / FADING) * np.sin(2 * np.pi * RINGING * since)
