"""Gradients of several views of one tensor, put together by writing each into its part.

The gradient by a view is zeros with the view's gradient written into them, and the tape adds those of all views. XLA makes a padded
array of each and one loop that adds them, for each element of the whole; where that loop also turns the result, it computes one number
at a time (a quarter of the time of an attention layer's backward pass). Parts that don't overlap need no sum.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, Var

_Box = tuple[tuple[int, int], ...]  # where a part begins and ends in each dimension


class _Placed(NamedTuple):
    """A value that is zero but for some parts: of an array of that shape, and what makes it of zeros if there is one part."""

    shape: tuple[int, ...]
    parts: tuple[_Box, ...]
    made: tuple[Any, ...]  # the write and the reshapes after it; empty after sums


class _Finder:
    """Reads a program's operations in order and notes which values are zeros but for some parts."""

    def __init__(self, jaxpr: Any):
        self.uses = Counter(v for e in jaxpr.eqns for v in e.invars if not isinstance(v, Literal))
        self.uses.update(v for v in jaxpr.outvars if not isinstance(v, Literal))
        self.zeros: set[Any] = set()
        self.placed: dict[Any, _Placed] = {}

    def note(self, equation: Any) -> None:
        name = equation.primitive.name
        first: Any = equation.invars[0] if equation.invars else None
        if name == "broadcast_in_dim":
            if isinstance(first, Literal) and _is_zero(first):
                self.zeros.add(equation.outvars[0])
        elif isinstance(first, Literal):
            return
        elif name == "reshape":
            if first in self.zeros:
                self.zeros.add(equation.outvars[0])
            elif first in self.placed:
                before = self.placed[first]
                made = (*before.made, equation) if before.made and self.uses[first] == 1 else ()
                self.placed[equation.outvars[0]] = before._replace(made=made)
        elif name == "dynamic_update_slice" and first in self.zeros:
            starts = equation.invars[2:]
            if all(isinstance(s, Literal) for s in starts) and not isinstance(equation.invars[1], Literal):
                box = _box(equation, starts)
                self.placed[equation.outvars[0]] = _Placed(tuple(first.aval.shape), (box,), (equation,))

    def join(self, equation: Any) -> tuple[Any, _Placed] | None:
        """For a sum of two such values: the one that stays, and the one whose part is written into it."""
        if equation.primitive.name not in ("add", "add_any"):
            return None
        x, y = equation.invars
        if isinstance(x, Literal) or isinstance(y, Literal) or x not in self.placed or y not in self.placed:
            return None
        for kept, other in ((x, y), (y, x)):
            into, written = self.placed[kept], self.placed[other]
            if not written.made or self.uses[other] != 1 or into.shape != written.shape:
                continue
            if all(_apart(box, written.parts[0]) for box in into.parts):
                parts = (*into.parts, *written.parts)
                self.placed[equation.outvars[0]] = _Placed(into.shape, parts, ())
                return kept, written
        return None


def _is_zero(literal: Literal) -> bool:
    aval: Any = literal.aval
    return aval.shape == () and jax.dtypes.issubdtype(aval.dtype, np.number) and not np.any(literal.val)


def _box(equation: Any, starts: Any) -> _Box:
    sizes = zip(equation.invars[0].aval.shape, equation.invars[1].aval.shape, strict=True)
    begins = [min(max(int(s.val), 0), n - u) for s, (n, u) in zip(starts, sizes, strict=True)]
    return tuple((b, b + u) for b, u in zip(begins, equation.invars[1].aval.shape, strict=True))


def _apart(a: _Box, b: _Box) -> bool:
    return any(end <= begin or stop <= start for (start, end), (begin, stop) in zip(a, b, strict=True))


def _is_written_out(equation: Any) -> bool:
    """Whether it is a call that asks to be written out where it stands, which JAX does from 0.12 on when it lowers the program."""
    return (
        equation.primitive.name == "jit"
        and equation.params.get("inline", False)
        and not equation.params["jaxpr"].consts
    )


def _written_out(closed: Any) -> Any:
    equations: list[Any] = []

    def read(atom: Any, names: dict[Any, Any]) -> Any:
        return atom if isinstance(atom, Literal) else names[atom]

    def write(jaxpr: Any, names: dict[Any, Any]) -> list[Any]:
        for equation in jaxpr.eqns:
            given = [read(atom, names) for atom in equation.invars]
            if _is_written_out(equation):
                inner = equation.params["jaxpr"].jaxpr
                made = write(inner, dict(zip(inner.invars, given, strict=True)))
            else:
                made = [Var(v.aval) for v in equation.outvars]
                equations.append(equation.replace(invars=given, outvars=made))
            names.update(zip(equation.outvars, made, strict=True))
        return [read(atom, names) for atom in jaxpr.outvars]

    outputs = write(closed.jaxpr, {v: v for v in (*closed.jaxpr.constvars, *closed.jaxpr.invars)})
    return ClosedJaxpr(closed.jaxpr.replace(eqns=equations, outvars=outputs), closed.consts)


def joined(closed: Any) -> Any:
    """The same computation, without sums of arrays that are zero wherever the other one is not."""
    if any(map(_is_written_out, closed.jaxpr.eqns)):
        closed = _written_out(closed)
    jaxpr = closed.jaxpr
    if sum(e.primitive.name == "dynamic_update_slice" for e in jaxpr.eqns) < 2:
        return closed
    finder, equations = _Finder(jaxpr), list(jaxpr.eqns)
    places = {id(e): i for i, e in enumerate(equations)}
    made: list[list[Any]] = [[e] for e in equations]  # what stands in the place of each
    any_joined = False
    for i, equation in enumerate(equations):
        finder.note(equation)
        if (found := finder.join(equation)) is None:
            continue
        kept, written = found
        for old in written.made:
            made[places[id(old)]] = []
        made[i] = _written_into(kept, written, equation)
        any_joined = True
    if not any_joined:
        return closed
    return ClosedJaxpr(jaxpr.replace(eqns=[e for group in made for e in group]), closed.consts)


def _written_into(kept: Any, written: _Placed, equation: Any) -> list[Any]:
    """The write of the one part, into what the other summand is, in place of the sum."""
    write, *reshapes = written.made
    first, made = kept, []
    if tuple(kept.aval.shape) != written.shape:  # then the write's own result is reshaped, too
        first = Var(write.outvars[0].aval)
        sizes = {"new_sizes": written.shape, "dimensions": None, "sharding": None}
        made.append(reshapes[0].replace(invars=[kept], outvars=[first], params=sizes))
    made.append(write.replace(invars=[first, *write.invars[1:]]))
    made += reshapes
    made[-1] = made[-1].replace(outvars=equation.outvars)
    return made
