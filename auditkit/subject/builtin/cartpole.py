"""`cartpole`: what a controller of a cart with a pole on it sees, and what the reference controller would do.

Rows are observations of the control task CartPole-v1 as the reference controller visits them when every fourth of its
pushes goes by chance, so that not only the upright pole is seen. Every tenth step of an episode is kept, and no episode
is in two splits. The label is what the reference controller does there: how far a policy agrees with it, and
which observations drive each action. `longer_pole` and `heavier_cart` are visited where the physics is another.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from auditkit.subject.control import ACTIONS, OBSERVED, WORLDS, Actions, Floats, play, regulator
from auditkit.subject.data import Role, Schema, Split

SEED = 1983
EPISODES: dict[str, int] = {"train": 60, "validation": 20, "test": 30}
AT_RANDOM = 0.25
EVERY = 10
ORIGIN = "built-in cartpole"


def cartpole() -> tuple[dict[str, Split], Schema]:
    """Four numbers a row; label `action`, left or right."""
    schema = Schema(OBSERVED, ACTIONS, "action", ACTIONS[1])
    splits = {}
    for place, name in enumerate([*EPISODES, *WORLDS]):
        role: Role = name if name in EPISODES else "ood"  # type: ignore[assignment]
        rows, actions = _visited(EPISODES.get(name, 30), place, name)
        columns = {column: rows[:, index] for index, column in enumerate(OBSERVED)}
        table = pa.table({**columns, "action": [ACTIONS[action] for action in actions]})
        splits[name] = Split(name, role, table, schema, origin=ORIGIN)
    return splits, schema


def _visited(episodes: int, place: int, name: str) -> tuple[Floats, Actions]:
    """Observations [n, 4], and the reference controller's actions there."""
    random, reference = np.random.default_rng([SEED, place]), regulator()

    def careless(seen: Floats) -> Actions:
        return np.where(random.random(len(seen)) < AT_RANDOM, random.integers(2, size=len(seen)), reference(seen))

    played = play(careless, episodes, SEED + place, WORLDS.get(name))
    rows = played.observations[::EVERY][played.alive[::EVERY]]
    return rows, reference(rows)
