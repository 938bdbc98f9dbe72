"""A jaxpr of a large size that computes what the same jaxpr of a smaller size computes.

Each value holds, as its first rows along each dimension, the value of the smaller trace; what lies behind them (`open` dimensions)
is anything. That is all that a rule has to keep, operation by operation: what it gives begins with what the small operation gives if what it
takes does. Sizes and numbers that differ are inputs (`Slots`), so that one program serves all sizes up to the large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from ...native.kernel import rows_of
from .skeleton import numbers_of, same_numbers
from .slots import Slots

Rule = Callable[..., Any]
Pair = tuple[int, int]  # a size in the small trace and in the large one
rules: dict[str, Rule] = {}  # by the primitive's name: `rule(site, *values)` gives the result, or a list of them


class NoRule(Exception):
    """An operation for which nothing is known that holds for several sizes."""

    def __init__(self, equation: Any, why: str = ""):
        super().__init__(why)
        self.equation = equation
        self.why = why


def rule(*names: str) -> Callable[[Rule], Rule]:
    def declare(function: Rule) -> Rule:
        rules.update(dict.fromkeys(names, function))
        return function

    return declare


def open_in(pairs: Sequence[Pair]) -> set[int]:
    """The dimensions that differ."""
    return {d for d, (a, b) in enumerate(pairs) if a != b}


def _pairs(small: Any, big: Any) -> list[Pair]:
    return list(zip(getattr(small.aval, "shape", ()), getattr(big.aval, "shape", ()), strict=True))


class Site(NamedTuple):
    """One operation in both traces."""

    masked: Masked
    small: Any
    big: Any
    given: list[list[Pair]]  # of each argument, the sizes
    made: list[list[Pair]]  # of each result

    @property
    def params(self) -> dict[str, Any]:
        return self.big.params  # type: ignore[no-any-return]

    def pairs(self, name: str) -> list[Any]:
        """A parameter that is a list of numbers, in both traces."""
        return list(zip(self.small.params[name], self.big.params[name], strict=True))

    def open(self, i: int = 0) -> set[int]:
        return open_in(self.given[i])

    def need(self, holds: bool, why: str) -> None:
        if not holds:
            raise NoRule(self.big, why)

    def need_same(self, *names: str) -> None:
        """Parameters (all of them by default) that have to be the same ones in both traces."""
        chosen = [{k: v for k, v in e.params.items() if not names or k in names} for e in (self.small, self.big)]
        self.need(same_numbers(*map(numbers_of, chosen)), "its settings depend on the size")

    def bind(self, *values: Any, **changed: Any) -> Any:
        primitive = self.big.primitive
        with self.big.ctx.manager:
            return primitive.bind(*values, **primitive.get_bind_params({**self.big.params, **changed}))

    def size(self, pair: Pair) -> Any:
        return self.masked.number(pair)

    def valid(self, shape: Sequence[int], axis: int, pair: Pair) -> Any:
        """Where along an axis the rows are that count: bools of this shape."""
        return lax.lt(lax.broadcasted_iota(np.dtype(np.int64), shape, axis), jnp.broadcast_to(self.size(pair), shape))

    def filled(self, i: int, value: Any, axes: Any, fill: Any) -> Any:
        """An argument whose rows that do not count have another value, along those of these axes that are open."""
        return self.masked.filled(value, self.given[i], sorted(set(axes) & self.open(i)), fill)


class Masked:
    def __init__(self, slots: Slots, whole: Any, others: Any):
        """`whole`, `others`: the slots' values, as vectors."""
        places = iter(range(sum(slots.whole))), iter(range(len(slots.whole) - sum(slots.whole)))
        self.slots = slots
        self.held: list[Any] = [
            lax.index_in_dim(whole, next(places[0]), keepdims=False) if is_whole
            else lax.index_in_dim(others, next(places[1]), keepdims=False)
            for is_whole in slots.whole
        ]  # fmt: skip
        self._filled: dict[Any, tuple[Any, Any]] = {}

    def number(self, pair: tuple[Any, Any]) -> Any:
        """A number of a place: itself, or what its slot holds (a traced scalar)."""
        slot = self.slots.slot(*pair)
        return pair[1] if slot is None else self.held[slot]

    def filled(self, value: Any, pairs: list[Pair], axes: list[int], fill: Any) -> Any:
        if not axes:
            return value
        key = id(value), tuple((d, pairs[d]) for d in axes), np.asarray(fill).tobytes()
        found = self._filled.get(key)
        if found is None:
            keep: Any = None
            for d in axes:
                rows = lax.lt(
                    lax.iota(np.dtype(np.int64), value.shape[d]),
                    jnp.broadcast_to(self.number(pairs[d]), (value.shape[d],)),
                )
                here = lax.broadcast_in_dim(rows, value.shape, (d,))
                keep = here if keep is None else lax.bitwise_and(keep, here)
            made = lax.select(keep, jnp.asarray(value), lax.full(value.shape, fill, value.dtype))
            found = value, made
            if isinstance(value, jax.core.Tracer):
                self._filled[key] = found
        return found[1]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """In a loop: what is filled there is known there only."""
        kept, self._filled = self._filled, {}
        try:
            yield
        finally:
            self._filled = kept

    def evaluate(self, small: Any, big: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        """The results of `big`, of which the first rows are those of `small`."""
        values: dict[Any, Any] = dict(zip((*big.constvars, *big.invars), (*consts, *arguments), strict=True))
        last = {atom: i for i, e in enumerate(big.eqns) for atom in e.invars if not isinstance(atom, Literal)}
        wanted = {atom for atom in big.outvars if not isinstance(atom, Literal)}
        for i, (one, other) in enumerate(zip(small.eqns, big.eqns, strict=True)):
            given = [self._atom(a, b, values) for a, b in zip(one.invars, other.invars, strict=True)]
            made = self._operation(one, other, given)
            values.update(zip(other.outvars, made, strict=True))
            for atom in other.invars:
                if not isinstance(atom, Literal) and last[atom] == i and atom not in wanted:
                    values.pop(atom, None)
        return [self._atom(a, b, values) for a, b in zip(small.outvars, big.outvars, strict=True)]

    def _atom(self, small: Any, big: Any, values: dict[Any, Any]) -> Any:
        if not isinstance(big, Literal):
            return values[big]
        aval: Any = big.aval
        if aval.shape != ():
            return big.val
        slot = self.slots.slot(np.asarray(small.val).item(), np.asarray(big.val).item())  # type: ignore[attr-defined]
        return big.val if slot is None else lax.convert_element_type(self.held[slot], aval.dtype)

    def _operation(self, small: Any, big: Any, values: list[Any]) -> list[Any]:
        given = [_pairs(a, b) for a, b in zip(small.invars, big.invars, strict=True)]
        made = [_pairs(a, b) for a, b in zip(small.outvars, big.outvars, strict=True)]
        site = Site(self, small, big, given, made)
        primitive = big.primitive
        if not any(map(open_in, (*given, *made))) and same_numbers(numbers_of(small.params), numbers_of(big.params)):
            results = site.bind(*values)
        else:
            found = rules.get(primitive.name) or (rules["kernel"] if rows_of(primitive.name) else None)
            if found is None:
                raise NoRule(big)
            results = found(site, *values)
        return list(results) if primitive.multiple_results else [results]
