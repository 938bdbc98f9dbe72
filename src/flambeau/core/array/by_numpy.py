"""Jaxprs that NumPy computes to the bit as XLA's program of them does: ready at once, where XLA takes some 30 ms for each new shape.

What is taken is what leaves no choice: elements that are moved, picked, compared, cast, counted with integers, and floating point
operations of which none rounds what another has rounded already (XLA contracts a product and a sum, and reorders chains), on no
subnormal numbers (XLA takes them for zeros) and no nan (of several bit patterns, and lost by XLA's maximum over rows). `Written` refuses
the rest; that is for XLA from the first call on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import Literal

_COMPUTED = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split())
_REAL = {"float32", "float64"}
_MOVED = _COMPUTED | {"complex64", "complex128", "float16"}
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
          "custom_vjp_call": "call_jaxpr"}  # fmt: skip

Step = Callable[..., Any]  # of NumPy's arrays


class Refused(Exception):
    """Something that NumPy would not compute as XLA does."""


class Written:
    """A jaxpr as a list of NumPy's functions, called with arrays. Raises Refused for values that XLA would treat otherwise."""

    __slots__ = ("checks", "elements", "kept", "outs", "places", "steps", "used")

    def __init__(self, closed: Any):
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
        first = {v.place: a.aval.dtype for a, v in inputs.items() if writer.computes and a.aval.dtype.name in _REAL}
        looked_at = [(place, _CHECKS[t.name, writer.chooses]) for place, t in (first | writer.rounded).items()]
        if writer.orders:
            looked_at += [(place, _within(int(most))) for place, most in writer.bounds.items()]
        self.checks: list[tuple[int, Step]] = [pair for pair in looked_at if pair[0] in needed]
        if writer.computes:
            for value in writer.fixed.values():
                if value.dtype.name in _REAL:
                    _CHECKS[value.dtype.name, writer.chooses](value)
        self.elements: int = writer.elements + sum(math.prod(v.aval.shape) for v in closed.jaxpr.invars)

    def __call__(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """The results for these arrays; what is not `used` may be anything."""
        values = self.places.copy()
        values[: len(arrays)] = arrays
        with np.errstate(all="ignore"):
            for step, given, made in self.steps:
                values[made] = step(*[values[i] for i in given])
            for place, check in self.checks:
                check(values[place])
        results, owned = [], set(self.kept)
        for place, dtype, shape in self.outs:
            results.append(_own(values[place], place in owned, dtype, shape))
            owned.add(place)
        return results


def _own(value: Any, kept: bool, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
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

    first, last = np.array(tiny + 1, bits), most - tiny - 1

    def check(x: Any) -> None:
        size = np.left_shift(x.view(bits), one)  # without the sign
        if not size.size or (nan and np.maximum.reduce(np.subtract(size, first), None) <= last):
            return  # which is the usual case
        if nan and np.maximum.reduce(size, None) > most:
            raise Refused("nan")
        if np.minimum.reduce(np.subtract(size, one), None) < tiny:  # of zero it is the largest
            raise Refused("subnormal numbers")

    return check


_CHECKS = {(name, nan): _check(name, nan) for name in _REAL for nan in (False, True)}


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
                values[equation.outvars[0]] = self._step(equation, given)
        return list(map(read, jaxpr.outvars))

    def _step(self, equation: Any, given: list[_Value]) -> _Value:
        name, avals = equation.primitive.name, [a.aval for a in (*equation.invars, *equation.outvars)]
        rule, moves = _RULES.get(name), name in _MOVES
        if rule is None or len(equation.outvars) != 1:
            raise Refused(name)
        if not {aval.dtype.name for aval in avals} <= (_MOVED if moves else _COMPUTED):
            raise Refused(name)
        out = equation.outvars[0].aval
        rounds = name in _ROUNDING and out.dtype.kind == "f"
        if rounds:
            _refuse_chains(equation, given)
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
        if rounds or (name == "convert_element_type" and out.dtype.name in _REAL):
            self.rounded[made.place] = out.dtype
        self.elements += math.prod(out.shape)
        step = rule(equation)
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


def _is_literal(atom: Any) -> bool:
    return isinstance(atom, Literal)


def _refuse_chains(equation: Any, given: list[_Value]) -> None:
    """Raises Refused for an operation that XLA may join with others, or replace."""
    name = equation.primitive.name
    for atom, value in zip(equation.invars, given, strict=True):
        # `x + 0` is x, also where that is -0
        if value.rounded or (value.known and not (_is_literal(atom) and np.all(atom.val))):
            raise Refused(f"{name} of what is rounded or known")
    if name == "mul" and any(value.gate for value in given):
        raise Refused("a choice")
    if name == "div" and (given[1].known or given[1].spread):
        raise Refused("a reciprocal")


# ---------------------------------------------------------------- the operations

Rule = Callable[[Any], Step]
_RULES: dict[str, Rule] = {}
_MOVES: set[str] = set()
_SUMS = frozenset("add add_any sub neg reduce_sum cumsum".split())
_PRODUCTS = frozenset("mul square integer_pow".split())
_RINGS = frozenset("and or xor not reduce_and reduce_or copy copy_p stop_gradient select_n broadcast_in_dim reshape squeeze "
                   "expand_dims transpose slice rev concatenate pad".split())  # fmt: skip
_OF_NAN = frozenset("eq ne lt le gt ge is_finite neg".split())  # the same for all of them
_ROUNDING = frozenset("add add_any sub mul div square integer_pow sqrt".split())


def _rule(*names: str, moves: bool = False) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        if moves:
            _MOVES.update(names)
        return rule

    return enter


def _kind(equation: Any) -> str:
    return equation.invars[0].aval.dtype.kind  # type: ignore[no-any-return]


def _always(function: Step) -> Rule:
    return lambda equation: function


def _larger(x: Any, y: Any) -> Any:
    """Of two zeros the positive one, which NumPy leaves open."""
    made = np.maximum(x, y)
    return np.where((made == 0) & (x == y), x + y, made) if made.dtype.kind == "f" else made


def _smaller(x: Any, y: Any) -> Any:
    return -_larger(-x, -y) if x.dtype.kind == "f" else np.minimum(x, y)


_EXACT: dict[str, Step] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "max": _larger, "min": _smaller,
    "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite, "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt,
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "square": np.square,
}  # fmt: skip
_RULES |= {name: _always(function) for name, function in _EXACT.items()}


@_rule("copy", "copy_p", "stop_gradient", moves=True)
def _copy(equation: Any) -> Step:
    return np.copy


@_rule("integer_pow")
def _power(equation: Any) -> Step:
    if equation.params["y"] != 2:
        raise Refused("integer_pow")
    return np.square


@_rule("sign")
def _sign(equation: Any) -> Step:
    if _kind(equation) == "f":  # of zeros and nan
        raise Refused("sign")
    return np.sign


@_rule("div")
def _quotient(equation: Any) -> Step:
    if _kind(equation) != "f":
        raise Refused("div")
    return np.divide


@_rule("clamp")
def _clamp(equation: Any) -> Step:
    if _kind(equation) == "b":  # XLA has none
        raise Refused("clamp")
    return lambda low, x, high: _smaller(_larger(x, low), high)


@_rule("select_n", moves=True)
def _select(equation: Any) -> Step:
    if len(equation.invars) != 3 or _kind(equation) != "b":
        raise Refused("select_n")
    return lambda which, no, yes: np.where(which, yes, no)


@_rule("convert_element_type")
def _cast(equation: Any) -> Step:
    old, new = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
    if old == new:
        return np.copy
    if new.kind == "b":
        return lambda x: x != 0
    if old.kind == "f" and new.kind != "f":
        limits = np.iinfo(new)
        low, high = float(limits.min), float(limits.max)

        def step(x: Any) -> Any:
            if not ((x >= low) & (x < high)).all():
                raise Refused("numbers that the integers do not have")
            return x.astype(new)

        return step

    return lambda x: x.astype(new)


# ---------------------------------------------------------------- what moves elements


@_rule("broadcast_in_dim", moves=True)
def _broadcast(equation: Any) -> Step:
    if len(equation.invars) != 1:
        raise Refused("a shape that is not known")
    shape, dims = equation.params["shape"], equation.params["broadcast_dimensions"]
    given, dtype = equation.invars[0].aval.shape, equation.invars[0].aval.dtype
    wide = [1] * len(shape)
    for d, size in zip(dims, given, strict=True):
        wide[d] = size
    if tuple(wide) == shape:
        return lambda x: x.reshape(shape)
    strides, step = [0] * len(shape), dtype.itemsize
    for d, size in zip(reversed(dims), reversed(given), strict=True):
        strides[d], step = (step if size > 1 else 0), step * size
    plain = dtype.name in _COMPUTED and math.prod(shape) > 0

    def spread(x: Any) -> Any:
        if plain and type(x) is np.ndarray and x.flags.c_contiguous:
            return np.ndarray(shape, dtype, x, 0, strides)  # five times as quick
        return np.broadcast_to(x.reshape(wide), shape)

    return spread


@_rule("reshape", "squeeze", "expand_dims", moves=True)
def _reshape(equation: Any) -> Step:
    if len(equation.invars) != 1 or (
        equation.primitive.name == "reshape" and equation.params["dimensions"] is not None
    ):
        raise Refused("reshape")
    shape = equation.outvars[0].aval.shape
    return lambda x: x.reshape(shape)


@_rule("transpose", moves=True)
def _transpose(equation: Any) -> Step:
    order = equation.params["permutation"]
    return lambda x: x.transpose(order)


@_rule("slice", moves=True)
def _slice(equation: Any) -> Step:
    p = equation.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    places = tuple(map(slice, p["start_indices"], p["limit_indices"], strides))
    return lambda x: x[places]


@_rule("rev", moves=True)
def _reverse(equation: Any) -> Step:
    dims = tuple(equation.params["dimensions"])
    return lambda x: np.flip(x, dims)


@_rule("concatenate", moves=True)
def _concatenate(equation: Any) -> Step:
    d = equation.params["dimension"]
    return lambda *parts: np.concatenate(parts, d)


@_rule("pad", moves=True)
def _pad(equation: Any) -> Step:
    shape, config = equation.outvars[0].aval.shape, equation.params["padding_config"]
    if any(low < 0 or high < 0 for low, high, _ in config):
        raise Refused("pad")
    inner = equation.invars[0].aval.shape
    places = tuple(
        slice(low, low + n + max(n - 1, 0) * between, between + 1)
        for (low, _, between), n in zip(config, inner, strict=True)
    )

    def step(x: Any, value: Any) -> Any:
        made = np.full(shape, value, x.dtype)
        made[places] = x
        return made

    return step


@_rule("iota", moves=True)
def _count(equation: Any) -> Step:
    p = equation.params
    if equation.invars or p["dtype"].name not in _COMPUTED:
        raise Refused("iota")
    wide = [1] * len(p["shape"])
    wide[p["dimension"]] = p["shape"][p["dimension"]]
    made = np.broadcast_to(np.arange(p["shape"][p["dimension"]], dtype=p["dtype"]).reshape(wide), p["shape"])
    return lambda: made


def _corner(starts: Sequence[Any], shape: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    firsts = [min(max(int(s), 0), n - m) for s, n, m in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(f, f + m) for f, m in zip(firsts, sizes, strict=True))


@_rule("dynamic_slice", moves=True)
def _dynamic_slice(equation: Any) -> Step:
    sizes = equation.params["slice_sizes"]
    return lambda x, *starts: x[_corner(starts, x.shape, sizes)]


@_rule("dynamic_update_slice", moves=True)
def _dynamic_update(equation: Any) -> Step:
    def step(x: Any, part: Any, *starts: Any) -> Any:
        made = x.copy()
        made[_corner(starts, x.shape, part.shape)] = part
        return made

    return step


@_rule("gather", moves=True)
def _gather(equation: Any) -> Step:
    p, (x, where) = equation.params, (v.aval for v in equation.invars)
    numbers, sizes = p["dimension_numbers"], p["slice_sizes"]
    if numbers.operand_batching_dims and not numbers.start_indices_batching_dims:
        raise Refused("gather")
    batch = where.shape[:-1]
    left_out = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    within = [d for d in range(len(x.shape)) if d not in left_out]
    ndim = len(batch) + len(within)
    outer = [d for d in range(ndim) if d not in numbers.offset_dims]
    order = np.argsort([*outer, *numbers.offset_dims])
    mode, missing = str(p["mode"]), p["fill_value"]
    fills = "FILL" in mode
    if fills and missing is None and x.dtype.name not in _COMPUTED:
        raise Refused("gather")

    def spread(values: Any, d: int) -> Any:
        wide = [1] * ndim
        wide[d] = -1
        return values.reshape(wide)

    def step(x: Any, where: Any) -> Any:
        places, good = [], np.ones(batch, bool)
        for d in range(x.ndim):
            start = np.zeros(batch, np.int64)
            if d in numbers.start_index_map:
                start = where[..., numbers.start_index_map.index(d)].astype(np.int64)
                most = x.shape[d] - sizes[d]
                good &= (start >= 0) & (start <= most)
                start = np.clip(start, 0, most)
            elif d in numbers.operand_batching_dims:
                i = numbers.start_indices_batching_dims[numbers.operand_batching_dims.index(d)]
                wide = [1] * len(batch)
                wide[i] = batch[i]
                start = np.broadcast_to(np.arange(batch[i]).reshape(wide), batch)
            start = start.reshape(batch + (1,) * len(within))
            if d in within:
                start = start + spread(np.arange(sizes[d]), len(batch) + within.index(d))
            places.append(start)
        full = batch + tuple(sizes[d] for d in within)
        made = np.broadcast_to(x[tuple(places)], full)
        if fills and not good.all():
            made = np.where(good.reshape(batch + (1,) * len(within)), made, _missing(x.dtype, missing))
        return made.transpose(order)

    return step


def _missing(dtype: np.dtype, value: Any) -> Any:
    if value is not None:
        return np.asarray(value, dtype)
    if dtype.kind in "fc":
        return np.asarray(np.nan, dtype)
    return np.asarray(
        True if dtype.kind == "b" else np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min, dtype
    )


# ---------------------------------------------------------------- reductions


def _reduced(function: Step, kinds: str) -> Rule:
    def rule(equation: Any) -> Step:
        if _kind(equation) not in kinds:
            raise Refused(equation.primitive.name)
        axes, dtype = tuple(equation.params["axes"]), equation.outvars[0].aval.dtype
        shape = equation.invars[0].aval.shape
        if not math.prod(shape):
            raise Refused("nothing to reduce")
        return lambda x: np.asarray(function(x, axes, dtype))

    return rule


def _largest(x: Any, axes: Any, dtype: np.dtype) -> Any:
    made = np.maximum.reduce(x, axes)
    if dtype.kind != "f" or np.all(made):
        return made
    return np.where(made == 0, np.where(((x == 0) & ~np.signbit(x)).any(axes), 0, -np.zeros((), dtype)), made)


_RULES |= {
    "reduce_sum": _reduced(lambda x, axes, dtype: np.add.reduce(x, axes, dtype), "iu"),
    "reduce_prod": _reduced(lambda x, axes, dtype: np.multiply.reduce(x, axes, dtype), "iu"),
    "reduce_and": _reduced(lambda x, axes, dtype: np.bitwise_and.reduce(x, axes), "iub"),
    "reduce_or": _reduced(lambda x, axes, dtype: np.bitwise_or.reduce(x, axes), "iub"),
    "reduce_max": _reduced(_largest, "iubf"),
    "reduce_min": _reduced(
        lambda x, axes, dtype: -_largest(-x, axes, dtype) if dtype.kind == "f" else np.minimum.reduce(x, axes), "iubf"
    ),
}


@_rule("argmax", "argmin")
def _place_of(equation: Any) -> Step:
    find = getattr(np, equation.primitive.name)
    (axis,), dtype = equation.params["axes"], equation.params["index_dtype"]
    return lambda x: find(x, axis).astype(dtype)


@_rule("cumsum")
def _running(equation: Any) -> Step:
    if _kind(equation) == "f":
        raise Refused("cumsum")
    axis, back = equation.params["axis"], equation.params["reverse"]
    dtype = equation.outvars[0].aval.dtype

    def step(x: Any) -> Any:
        return np.flip(np.cumsum(np.flip(x, axis), axis, dtype), axis) if back else np.cumsum(x, axis, dtype)

    return step


@_rule("rem")
def _remainder(equation: Any) -> Step:
    if _kind(equation) == "f":
        raise Refused("rem")

    def step(x: Any, y: Any) -> Any:
        if not np.all(y):
            raise Refused("a remainder of zero")
        return np.fmod(x, y)

    return step
