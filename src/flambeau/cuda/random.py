"""Seeds and states. One generator on the host serves all devices, so these are its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.array.devices import jax_devices
from ..core.dispatch.operator import namespaces
from ..ops.random.factories import get_rng_state as _get_rng_state
from ..ops.random.factories import initial_seed as _initial_seed
from ..ops.random.factories import manual_seed as _manual_seed
from ..ops.random.factories import seed as _seed
from ..ops.random.factories import set_rng_state as _set_rng_state
from ._devices import index_of, required

__all__ = [
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "set_rng_state",
    "set_rng_state_all",
]


_host = namespaces["random"]


def manual_seed(seed: int) -> None:
    """Seed the generator (one serves all devices)."""
    _manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """A random seed, where there is a GPU."""
    if jax_devices("cuda"):
        _seed()


seed_all = seed


def initial_seed() -> int:
    """The seed of the generator. AssertionError without a GPU."""
    required()
    return _initial_seed()


def get_rng_state(device: Any = "cuda") -> Any:
    """The state of the one generator. AssertionError without a GPU."""
    required(index_of(device))
    return _get_rng_state()


def get_rng_state_all() -> list[Any]:
    """That state for each GPU: an empty list without one."""
    return [get_rng_state(i) for i in range(len(jax_devices("cuda")))]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Make the one generator go on from a state. Without a GPU nothing, as in PyTorch, where it waits for one."""
    if jax_devices("cuda"):
        _set_rng_state(new_state.cpu())


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """The same from the states of all GPUs, which are one."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)
