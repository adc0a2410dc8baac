"""A control task: what a policy sees and how long it lasts, played in gymnasium.

Episodes run side by side until each has ended. The task is CartPole-v1 (Barto, Sutton and Anderson 1983, IEEE
Transactions on Systems, Man, and Cybernetics 13(5), 834-846): push a cart left or right so that the pole on it stays
up; every step survived counts one, 500 are the most. `WORLDS` are the same task with other physics.

The reference controller is the linear-quadratic regulator of the task linearised about the upright pole: it pushes in
the direction in which the optimal force -K x points (Anderson and Moore 1990, "Optimal control", chapter 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.errors import InputError

Floats = npt.NDArray[np.float64]
Actions = npt.NDArray[np.int64]
Policy = Callable[[Floats], Actions]
"""observations [n, 4] → actions [n], 0 left and 1 right"""

TASK = "CartPole-v1"
OBSERVED = ("cart_position", "cart_velocity", "pole_angle", "pole_velocity")
"""in metres, metres per second, radians and radians per second"""
ACTIONS = ("left", "right")
HORIZON = 500
WORLDS: Mapping[str, Mapping[str, float]] = {
    "longer_pole": {"length": 2.0},
    "heavier_cart": {"masscart": 5.0},
}
"""what is other than in the task itself: half the pole's length is 0.5 m there, the cart weighs 1 kg"""
MISSING = (
    'control tasks are played in gymnasium, which is not installed; install it with: pip install "auditkit[control]"'
)


@dataclass(frozen=True)
class Episodes:
    """observations float64 [steps, episodes, 4], actions int64 and alive bool [steps, episodes].

    alive: the episode had not ended before that step; what is not alive stands for nothing.
    """

    observations: Floats
    actions: Actions
    alive: npt.NDArray[np.bool_]

    @property
    def returns(self) -> Floats:
        """Steps survived, float64 [episodes]."""
        return self.alive.sum(axis=0).astype(np.float64)


def play(policy: Policy, episodes: int, seed: int, changes: Mapping[str, float] | None = None) -> Episodes:
    """Play episodes of the task from seeded starts. changes: physics by name, as in `WORLDS`.

    Raises InputError where gymnasium is not installed.
    """
    world = _world(episodes, changes or {})
    seen, _ = world.reset(seed=seed)
    alive = np.ones(episodes, dtype=bool)
    observations, actions, lived = [], [], []
    while alive.any():
        chosen = np.where(alive, policy(seen.astype(np.float64)), 0).astype(np.int64)
        observations.append(seen.astype(np.float64))
        actions.append(chosen)
        lived.append(alive)
        seen, _, fallen, late, _ = world.step(chosen)
        alive = alive & ~fallen & ~late
    return Episodes(np.stack(observations), np.stack(actions), np.stack(lived))


def regulator() -> Policy:
    """The reference controller."""
    from scipy.linalg import solve_discrete_are

    world = _world(1, {})
    mass, pole, half, step = world.total_mass, world.polemass_length, world.length, world.tau
    inertia = half * (4 / 3 - world.masspole / mass)
    turned = np.array([0, 0, world.gravity / inertia, 0])
    pushed = -1 / (mass * inertia)
    A = np.eye(4)
    A[0, 1] = A[2, 3] = step
    A[3] += step * turned
    A[1] += step * -pole / mass * turned
    B = step * np.array([[0], [1 / mass - pole * pushed / mass], [0], [pushed]])
    Q, R = np.diag([1.0, 0.1, 10.0, 0.1]), np.array([[0.1]])
    P = solve_discrete_are(A, B, Q, R)
    K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)[0]
    return lambda seen: (seen @ K < 0).astype(np.int64)


def _world(episodes: int, changes: Mapping[str, float]) -> Any:
    try:
        import gymnasium
    except ImportError:
        raise InputError(MISSING) from None
    world: Any = gymnasium.make_vec(TASK, num_envs=episodes, vectorization_mode="vector_entry_point").unwrapped
    for name, value in changes.items():
        setattr(world, name, value)
    world.total_mass = world.masspole + world.masscart
    world.polemass_length = world.masspole * world.length
    return world
