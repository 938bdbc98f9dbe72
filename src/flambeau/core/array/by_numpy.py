"""Jaxprs that NumPy computes to the bit as XLA's program of them does: ready at once, where XLA takes some 30 ms for each new shape.

What is taken is what leaves no choice: elements that are moved, picked, compared, cast, counted with integers, and floating point
operations of which none rounds what another has rounded already (XLA contracts a product and a sum, and reorders chains), on no
subnormal numbers (XLA takes them for zeros) and no nan (of several bit patterns, and lost by XLA's maximum over rows). `Written` refuses
the rest; that is for XLA from the first call on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr

from .numpy_rules import COMPUTED, MOVES, RULES, SEVERAL, Refused, Step

REAL = {"float32", "float64"}
MOVED = COMPUTED | {"complex64", "complex128", "float16"}
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
          "custom_vjp_call": "call_jaxpr"}  # fmt: skip
_SUMS = frozenset("add add_any sub neg reduce_sum cumsum".split())
_PRODUCTS = frozenset("mul square integer_pow".split())
_RINGS = frozenset("and or xor not reduce_and reduce_or copy copy_p stop_gradient select_n broadcast_in_dim reshape squeeze "
                   "expand_dims transpose slice rev concatenate stack pad scatter scatter-add split".split())  # fmt: skip
_OF_NAN = frozenset("eq ne lt le gt ge is_finite neg".split())  # the same for all of them
_ROUNDING = frozenset("add add_any sub mul div square integer_pow sqrt scatter-add".split())

_SLOW = frozenset("sort scatter-add".split())  # what takes NumPy several times what it takes to compute with an element


class Written:
    """A jaxpr as a list of NumPy's functions, called with arrays. Raises Refused for values that XLA would treat otherwise."""

    __slots__ = ("checks", "elements", "kept", "outs", "places", "quiet", "steps", "used")

    def __init__(self, closed: Any):
        # a derivative's program computes the results, too, which nobody asks for
        needs, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
        closed = ClosedJaxpr(needs, closed.consts)
        writer = _Writer()
        inputs = {v: _Value(writer.new()) for v in closed.jaxpr.invars}
        made = writer.run(closed, dict(inputs))
        needed, steps = {v.place for v in made}, []
        for step in reversed(writer.steps):
            if step[2] in needed and step[2] not in writer.fixed:
                needed.update(step[1])
                steps.append(step)
        self.steps: list[tuple[Step, tuple[int, ...], int]] = steps[::-1]
        self.used: list[bool] = [v.place in needed for v in inputs.values()]  # which inputs anything is made of
        self.outs = [(v.place, a.aval.dtype, a.aval.shape) for v, a in zip(made, closed.jaxpr.outvars, strict=True)]
        self.kept: frozenset[int] = frozenset(writer.fixed) | {v.place for v in inputs.values()}
        self.places: list[Any] = [writer.fixed.get(i) for i in range(writer.count)]
        # where numbers are that must not be subnormal: all that goes in where there is arithmetic, and what is rounded
        first = {v.place: a.aval.dtype for a, v in inputs.items() if writer.computes and a.aval.dtype.name in REAL}
        looked_at = [(place, _CHECKS[t.name, writer.chooses]) for place, t in (first | writer.rounded).items()]
        if writer.orders:
            looked_at += [(place, _within(int(most))) for place, most in writer.bounds.items()]
        self.checks: list[tuple[int, Step]] = [pair for pair in looked_at if pair[0] in needed]
        if writer.computes:
            for value in writer.fixed.values():
                if value.dtype.name in REAL:
                    _CHECKS[value.dtype.name, writer.chooses](value)
        self.quiet: bool = not writer.computes  # nothing that NumPy warns of
        self.elements: int = writer.elements + sum(math.prod(v.aval.shape) for v in closed.jaxpr.invars)

    def __call__(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """The results for these arrays; what is not `used` may be anything."""
        values = self.places.copy()
        values[: len(arrays)] = arrays
        if self.quiet:
            self._run(values)
        else:
            with np.errstate(all="ignore"):
                self._run(values)
        results, owned = [], set(self.kept)
        for place, dtype, shape in self.outs:
            results.append(own(values[place], place in owned, dtype, shape))
            owned.add(place)
        return results

    def _run(self, values: list[Any]) -> None:
        for step, given, made in self.steps:
            values[made] = step(*[values[i] for i in given])
        for place, check in self.checks:
            check(values[place])


def own(value: Any, kept: bool, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """A result in memory of its own: JAX takes it over, and the arguments' memory may be gone before."""
    made = np.asarray(value, dtype, order="C")
    if made.shape != shape:
        made = made.reshape(shape)
    return made.copy() if kept or made.base is not None else made


def _check(name: str, nan: bool) -> Step:
    """What raises Refused for an array with a subnormal number (or the smallest normal one, which may have been rounded from one), or nan."""
    bits, limits = np.dtype(name.replace("float", "uint")), np.finfo(name)
    one = np.array(1, bits)
    tiny, most = (int(np.array(x, name).view(bits)) << 1 for x in (limits.tiny, np.inf))

    first, highest = np.array(tiny + 1, bits), np.array(most - tiny - 1, bits)

    def check(x: Any) -> None:
        size = np.left_shift(x.view(bits), one)  # without the sign
        if nan and not np.count_nonzero(np.greater(np.subtract(size, first), highest)):
            return  # which is the usual case
        if not size.size:
            return
        if nan and np.maximum.reduce(size, None) > most:
            raise Refused("nan")
        if np.minimum.reduce(np.subtract(size, one), None) < tiny:  # of zero it is the largest
            raise Refused("subnormal numbers")

    return check


def refuse_subnormal(x: np.ndarray) -> None:
    """Raises Refused for real floating point numbers with a subnormal one among them."""
    _CHECKS[x.dtype.name, False](x)


_CHECKS = {(name, nan): _check(name, nan) for name in REAL for nan in (False, True)}


class _Value(NamedTuple):
    """Where a value is, and what XLA may make of operations with it: whether it was rounded, is known, one for several elements,
    has lost digits in a cast (which XLA leaves out before a cast that gives them back), or is a number that was a bool (a product
    with which XLA takes for a choice, where NumPy's is -0 or nan)."""

    place: int
    rounded: bool = False
    known: bool = False
    spread: bool = False
    narrowed: bool = False
    gate: bool = False


class _Writer:
    def __init__(self) -> None:
        self.count = 0
        self.steps: list[tuple[Step, tuple[int, ...], int]] = []
        self.fixed: dict[int, np.ndarray] = {}
        self.rounded: dict[int, np.dtype] = {}
        self.computes = False
        self.bounds: dict[int, int] = {}  # how large integers may be with which there is arithmetic
        self.orders = False  # whether it matters if they overflow
        self.chooses = False  # something whose result for nan hangs on how it is computed
        self.elements = 0

    def new(self) -> int:
        self.count += 1
        return self.count - 1

    def constant(self, value: Any) -> _Value:
        place = self.new()
        self.fixed[place] = np.asarray(value)
        return _Value(place, known=True)

    def run(self, closed: Any, values: dict[Any, _Value]) -> list[_Value]:
        """The results of a jaxpr whose inputs are these."""
        jaxpr = closed.jaxpr
        if jaxpr.effects:
            raise Refused("effects")
        values.update(zip(jaxpr.constvars, map(self.constant, closed.consts), strict=True))

        def read(atom: Any) -> _Value:
            return self.constant(np.asarray(atom.val, atom.aval.dtype)) if _is_literal(atom) else values[atom]

        for equation in jaxpr.eqns:
            given = list(map(read, equation.invars))
            name, params = equation.primitive.name, equation.params
            if name in _CALLS and _CALLS[name] in params:
                inner = params[_CALLS[name]]
                made = self.run(inner, dict(zip(inner.jaxpr.invars, given, strict=True)))
                values.update(zip(equation.outvars, made, strict=True))
            elif name == "optimization_barrier":
                values.update(
                    (v, _Value(g.place, g.rounded, narrowed=g.narrowed, gate=g.gate))
                    for v, g in zip(equation.outvars, given, strict=True)
                )
            else:
                for v, step in zip(equation.outvars, self.steps_of(equation), strict=True):
                    values[v] = self._step(equation, given, v.aval, step)
        return list(map(read, jaxpr.outvars))

    def refuse_chains(self, equation: Any, given: list[_Value]) -> None:
        """Raises Refused for an operation that XLA may join with others, or replace."""
        _refuse_chains(equation, given)

    def steps_of(self, equation: Any) -> list[Step]:
        """What is done for each of an operation's results."""
        return _steps(equation)

    def _step(self, equation: Any, given: list[_Value], out: Any, step: Step) -> _Value:
        """One result of an operation, which `step` gives."""
        name, avals = equation.primitive.name, [a.aval for a in (*equation.invars, *equation.outvars)]
        moves = name in MOVES
        rounds = name in _ROUNDING and out.dtype.kind == "f"
        if rounds:
            self.refuse_chains(equation, given)
        cast = name == "convert_element_type" and avals[0].dtype.kind == out.dtype.kind == "f"
        if cast and given[0].narrowed:
            raise Refused("casts there and back")
        if not moves and any(aval.dtype.kind == "f" for aval in avals):
            self.computes = True
            self.chooses |= name not in _OF_NAN and not (name == "convert_element_type" and out.dtype.kind != "f")
        self._bound(equation, given)
        made = _Value(
            self.new(),
            rounds or (out.dtype.kind == "f" and any(v.rounded for v in given)),
            all(v.known for v in given),
            name == "broadcast_in_dim" or (moves and any(v.spread for v in given)),
            out.dtype.kind == "f" and ((cast and out.dtype != avals[0].dtype) or any(v.narrowed for v in given)),
            out.dtype.kind != "b"
            and ((name == "convert_element_type" and avals[0].dtype.kind == "b") or any(v.gate for v in given)),
        )
        if rounds or (name == "convert_element_type" and out.dtype.name in REAL):
            self.rounded[made.place] = out.dtype
        self.elements += math.prod(out.shape)
        if name in _SLOW:
            self.elements += 8 * max(math.prod(aval.shape) for aval in avals)
        if name == "broadcast_in_dim" and given[0].place in self.fixed:
            self.fixed[made.place] = step(self.fixed[given[0].place])
        self.steps.append((step, tuple(v.place for v in given), made.place))
        return made

    def _bound(self, equation: Any, given: list[_Value]) -> None:
        """XLA reckons with integers that don't overflow (`abs(x * x)` is `x * x`), so that what it makes of others is its own."""
        name, dtype = equation.primitive.name, equation.invars[0].aval.dtype if given else None
        if dtype is None or dtype.kind not in "iu":
            return
        most = np.iinfo(dtype).max
        if name == "reduce_prod" or (dtype.kind == "u" and name in ("sub", "neg")):
            most = -1
        elif name in _SUMS:
            most //= max(2, math.prod(equation.invars[0].aval.shape) if name in ("reduce_sum", "cumsum") else 2)
        elif name in _PRODUCTS:
            most = math.isqrt(most)
        else:
            self.orders |= name not in _RINGS
            if name != "abs":
                return
        for value in given:
            self.bounds[value.place] = min(most, self.bounds.get(value.place, most))


def _within(most: int) -> Step:
    def check(x: Any) -> None:
        if x.size and not (-most <= np.minimum.reduce(x, None) and np.maximum.reduce(x, None) <= most):
            raise Refused("integers that may overflow")

    return check


def _steps(equation: Any) -> list[Step]:
    """What NumPy does for each of an operation's results."""
    name = equation.primitive.name
    taken = MOVED if name in MOVES else COMPUTED
    if not {a.aval.dtype.name for a in (*equation.invars, *equation.outvars)} <= taken:
        raise Refused(name)
    if name in SEVERAL:
        return SEVERAL[name](equation)
    if name not in RULES or len(equation.outvars) != 1:
        raise Refused(name)
    return [RULES[name](equation)]


def _is_literal(atom: Any) -> bool:
    return isinstance(atom, Literal)


def _refuse_chains(equation: Any, given: list[_Value]) -> None:
    """Raises Refused for an operation that XLA may join with others, or replace."""
    name = equation.primitive.name
    for atom, value in zip(equation.invars, given, strict=True):
        # `x + 0` is x, also where that is -0, but not in a loop
        if value.rounded or (name != "scatter-add" and value.known and not (_is_literal(atom) and np.all(atom.val))):
            raise Refused(f"{name} of what is rounded or known")
    if name == "mul" and any(value.gate for value in given):
        raise Refused("a choice")
    if name == "div" and (
        given[1].known or given[1].spread or equation.invars[1].aval.shape != equation.outvars[0].aval.shape
    ):
        raise Refused("a reciprocal")
