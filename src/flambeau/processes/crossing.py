"""Steps of a compiled function between what is cut over processes and a process's own values.

Outside of programs they are collectives of NumPy's values (`distributed/fsdp/gathering.py`); while a function is traced, a
`Crossing` stands in the jaxpr for them, and `spanning.py` makes of it the body of a `shard_map`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core as jex_core

from ..core.context.tracing import Untraceable


class Lines(NamedTuple):
    """How a value lies of which each line of processes has its own: one for each place along the axes `own`, each cut over the other
    axes as `spec` says. `sharding` says the same of the line of this process."""

    own: tuple[str, ...]
    spec: Any
    sharding: jax.sharding.NamedSharding

    @property
    def rows(self) -> Any:
        """JAX's words for all lines' values, one behind the other."""
        return jax.sharding.PartitionSpec(self.own, *self.spec)

    def of_rows(self, rows: Any) -> Any:
        """The value of this process's line."""
        part = rows.addressable_shards[0].data
        shape = tuple(rows.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, self.sharding, [part.reshape(part.shape[1:])])


ANY = "any"  # a number that may be of any kind


class Crossing(NamedTuple):
    """`body` is given a process's parts, and gives parts. `takes` and `gives` say for each how the whole lies over the processes, by
    its PartitionSpec, or how that of a line of processes lies (`Lines`); None for a value of the process's own.
    """

    name: str
    body: Callable[..., tuple[Any, ...]]
    takes: tuple[Any, ...]
    gives: tuple[Any, ...]
    results: tuple[Any, ...]  # shapes and dtypes of what it gives, whole
    sent: tuple[tuple[str, int], ...]  # its collectives: their names, and the bytes that come or go
    grid: tuple[int, ...] | None = None  # how the processes stand, whose axes the specs name; None for any way

    def __hash__(self) -> int:
        return id(self.body)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crossing) and other.body is self.body


crossing_p: Any = jex_core.Primitive("flambeau_crossing")
crossing_p.multiple_results = True


@crossing_p.def_abstract_eval
def _results(*given: Any, crossing: Crossing) -> list[Any]:
    return [jax.core.ShapedArray(result.shape, result.dtype) for result in crossing.results]


def cross(crossing: Crossing, values: Sequence[Any]) -> list[Any]:
    """The step, in a function that is being traced."""
    made: list[Any] = crossing_p.bind(*values, crossing=crossing)
    return made


def has_crossings(jaxpr: Any) -> bool:
    """Whether a jaxpr has such steps. Raises Untraceable for those within a branch, a loop or the like, whose program can't have them."""
    if any(_within(value) for equation in jaxpr.eqns for value in equation.params.values()):
        raise Untraceable("parameters that are cut over several processes are gathered within a branch or a loop")
    return any(equation.primitive is crossing_p for equation in jaxpr.eqns)


def _within(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_within, value))
    inner = getattr(value, "jaxpr", value)
    if not hasattr(inner, "eqns"):
        return False
    return any(e.primitive is crossing_p or any(map(_within, e.params.values())) for e in inner.eqns)
