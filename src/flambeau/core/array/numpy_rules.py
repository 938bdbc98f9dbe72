"""What NumPy does for each of JAX's operations, where that is what XLA does, bit by bit: elements are moved, picked, compared, counted
and, one operation at a time, computed with. `Refused` says of which forms that is not so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

COMPUTED = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split())

Step = Callable[..., Any]  # of NumPy's arrays


class Refused(Exception):
    """Something that NumPy would not compute as XLA does."""


Rule = Callable[[Any], Step]
RULES: dict[str, Rule] = {}
SEVERAL: dict[str, Callable[[Any], list[Step]]] = {}  # of what has several results: a function for each of them
MOVES: set[str] = set()


def _rule(*names: str, moves: bool = False) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        if moves:
            MOVES.update(names)
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
RULES |= {name: _always(function) for name, function in _EXACT.items()}


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
    plain = dtype.name in COMPUTED and math.prod(shape) > 0

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


@_rule("stack", moves=True)
def _stack(equation: Any) -> Step:
    axis = equation.params["axis"]
    return lambda *parts: np.stack(parts, axis)


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
    if equation.invars or p["dtype"].name not in COMPUTED:
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
    if fills and missing is None and x.dtype.name not in COMPUTED:
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


@_rule("flambeau_rows", moves=True)
def _rows(equation: Any) -> Step:
    count = equation.invars[0].aval.shape[0]
    if not count:
        raise Refused("no rows")
    return lambda x, where: x[np.clip(where, 0, count - 1)]


@_rule("flambeau_strided", moves=True)
def _strided(equation: Any) -> Step:
    shape, strides = equation.params["shape"], equation.params["strides"]

    def look(memory: Any, start: Any) -> Any:
        steps = [step * memory.itemsize for step in strides]
        return np.ndarray(shape, memory.dtype, np.ascontiguousarray(memory), int(start) * memory.itemsize, steps)

    return look


def _split(equation: Any) -> list[Step]:
    axis, ends = equation.params["axis"], np.cumsum(equation.params["sizes"])
    before = (slice(None),) * axis

    def part(first: Any, last: Any) -> Step:
        return lambda x: x[(*before, slice(first, last))]

    return [part(last - size, last) for size, last in zip(equation.params["sizes"], ends, strict=True)]


def _sorted(equation: Any) -> list[Step]:
    p, count = equation.params, len(equation.invars)
    if _kind(equation) not in "iub" or p["num_keys"] != 1 or (count > 1 and not p["is_stable"]):
        raise Refused("sort")
    axis = p["dimension"]

    def moved(i: int) -> Step:
        if not i:
            return lambda key, *others: np.sort(key, axis)
        return lambda key, *others: np.take_along_axis(others[i - 1], np.argsort(key, axis, kind="stable"), axis)

    return list(map(moved, range(count)))


SEVERAL |= {"split": _split, "sort": _sorted}
MOVES |= SEVERAL.keys()


def _places(equation: Any) -> tuple[Step, Step]:
    """What finds for a scatter's indices the elements (of the flat array) that it goes to, a row for each window, and which windows
    are within; and what lays the updates out so."""
    p, (x, where, updates) = equation.params, (v.aval for v in equation.invars)
    numbers, clips = p["dimension_numbers"], "CLIP" in str(p["mode"])
    if "ONE_HOT" in str(p["mode"]):
        raise Refused("scatter")
    batch, left_out = where.shape[:-1], {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    within = [d for d in range(len(x.shape)) if d not in left_out]
    sizes = [1] * len(x.shape)
    for d, i in zip(within, numbers.update_window_dims, strict=True):
        sizes[d] = updates.shape[i]
    strides = [math.prod(x.shape[d + 1 :]) for d in range(len(x.shape))]
    window = np.zeros((), np.int64)
    for d in within:
        window = window[..., None] + np.arange(sizes[d]) * strides[d]
    along = np.indices(batch)
    fixed = np.zeros(batch, np.int64)
    for d, i in zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True):
        fixed += along[i] * strides[d]
    outer = [d for d in range(len(updates.shape)) if d not in numbers.update_window_dims]
    order = (*outer, *numbers.update_window_dims)

    def find(where: Any) -> tuple[Any, Any]:
        first, good = fixed, np.ones(batch, bool)
        for i, d in enumerate(numbers.scatter_dims_to_operand_dims):
            start, most = where[..., i].astype(np.int64), x.shape[d] - sizes[d]
            good = good & (start >= 0) & (start <= most)
            first = first + np.clip(start, 0, max(most, 0)) * strides[d]
        return first.reshape(-1, 1) + window.reshape(-1), None if clips or good.all() else good.reshape(-1)

    return find, lambda given: given.transpose(order).reshape(math.prod(batch), -1)


def _takes_the_update(equation: Any) -> bool:
    """Whether a scatter puts the updates in the place of what is there, and not what another function makes of both."""
    inner = equation.params["update_jaxpr"]
    return inner is None or (not inner.eqns and list(inner.outvars) == [inner.invars[1]])


@_rule("scatter", moves=True)
def _put(equation: Any) -> Step:
    if not _takes_the_update(equation):
        raise Refused("scatter")
    find, laid_out = _places(equation)

    def step(x: Any, where: Any, updates: Any) -> Any:
        made = np.array(x, order="C")
        (places, good), given = find(where), laid_out(updates)
        if good is not None:
            places, given = places[good], given[good]
        made.reshape(-1)[places.reshape(-1)] = given.reshape(-1)  # of several the last, as in XLA's loop
        return made

    return step


@_rule("scatter-add")
def _put_sums(equation: Any) -> Step:
    """XLA adds the windows one after the other. A single one is no loop to it, so that it leaves out the addition to zero (and keeps -0)."""
    find, laid_out = _places(equation)
    dtype = equation.outvars[0].aval.dtype
    if dtype.kind == "b" or (dtype.kind == "f" and math.prod(equation.invars[1].aval.shape[:-1]) < 2):
        raise Refused("scatter-add")
    # a sum of numbers that have all their digits above the smallest normal number is no subnormal one, nor is any on the way there
    least = np.finfo(dtype).tiny * 2.0 ** (np.finfo(dtype).nmant + 1) if dtype.kind == "f" else 0

    def step(x: Any, where: Any, updates: Any) -> Any:
        made = np.array(x, order="C")
        (places, good), given = find(where), laid_out(updates)
        if good is not None:
            places, given = places[good], given[good]
        for numbers in (made, given) if least else ():
            size = np.abs(numbers)
            if ((size < least) & (size > 0)).any():
                raise Refused("subnormal numbers")
        np.add.at(made.reshape(-1), places.reshape(-1), given.reshape(-1))
        return made

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


# elements from which on XLA leaves reductions to a library: sums in another order, and of two zeros the one or the other
SPLIT: int = 4096


def _largest(x: Any, axes: Any, dtype: np.dtype) -> Any:
    made = np.maximum.reduce(x, axes)
    if dtype.kind != "f" or np.all(made):
        return made
    if x.size >= SPLIT and len(np.unique(np.signbit(x[x == 0]))) > 1:
        raise Refused("zeros of both signs")
    return np.where(made == 0, np.where(((x == 0) & ~np.signbit(x)).any(axes), 0, -np.zeros((), dtype)), made)


RULES |= {
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
