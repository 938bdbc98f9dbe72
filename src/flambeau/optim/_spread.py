"""Steps of parameters that are cut over devices: each device updates its own parts, and nothing is sent.

XLA would bring whole arrays together for a kernel that it does not know, or to join small ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..core.array import programs
from ..core.array.meta import is_meta
from ..core.tensor.storage import PartsStorage, cut_over
from ..core.tensor.tensor import Tensor

_P = jax.sharding.PartitionSpec


class Cut(NamedTuple):
    """How parameters lie on a mesh, and to which length dimensions are filled up that have unequal parts: (dimension, length)."""

    mesh: jax.sharding.Mesh
    specs: tuple[Any, ...]
    filled: tuple[tuple[int, int] | None, ...]


def cut_of(params: Sequence[Tensor], own: Sequence[Tensor]) -> Cut | None:
    """How the parameters of an elementwise step lie; None where they lie on no mesh, or state has another shape than its parameter."""
    found: list[tuple[Any, tuple[int, int] | None]] = []
    for param in params:
        storage: Any = param._storage
        if param._view is not None or is_meta(param._array):
            return None
        in_parts = type(storage) is PartsStorage
        lies = storage.host.padded_sharding if in_parts and storage.host.padding else cut_over(storage)
        if lies is None:
            return None
        found.append((lies, storage.host.padding if in_parts else None))
    meshes = {lies.mesh for lies, _ in found}
    if len(meshes) != 1 or any(s.shape != params[i % len(params)].shape for i, s in enumerate(own)):
        return None
    return Cut(meshes.pop(), tuple(lies.spec for lies, _ in found), tuple(filled for _, filled in found))


def _filled(array: Any, to: tuple[int, int] | None) -> Any:
    if to is None:
        return array
    dim, length = to
    return jnp.pad(array, [(0, length - n if d == dim else 0) for d, n in enumerate(array.shape)])


def _first(array: Any, shape: tuple[int, ...]) -> Any:
    return array if array.shape == shape else jax.lax.slice(array, (0,) * len(shape), shape)


@functools.lru_cache(256)
def by_parts(program: Callable[..., Any], cut: Cut) -> Callable[..., Any]:
    """The program of a step (see `rule.py`) in which each device has its own parts."""
    specs = list(cut.specs)

    def run(params: Any, grads: Any, own: Any, common: Any, values: Any, met: Any) -> Any:
        def body(*given: Any) -> Any:
            return program(*given[:5], False, given[5])

        def fill(arrays: Any) -> list[Any]:
            return [_filled(array, cut.filled[i % len(params)]) for i, array in enumerate(arrays)]

        def first(arrays: Any) -> list[Any]:
            return [_first(array, params[i % len(params)].shape) for i, array in enumerate(arrays)]

        of_own = specs * (len(own) // len(params))
        new_params, new_own, new_common = jax.shard_map(
            body, mesh=cut.mesh, in_specs=(specs, specs, of_own, _P(), _P(), _P()), out_specs=(specs, of_own, _P()),
            check_vma=False,
        )(fill(params), fill(grads), fill(own), common, values, met)  # fmt: skip
        return first(new_params), first(new_own), new_common

    run.__name__ = getattr(program, "__name__", "update")
    compiled: Callable[..., Any] = programs.jit(run, quickly=False)
    return compiled
