"""Programs of small arrays as lists of steps that the host takes one after the other (`native/small.cc`): XLA takes some 5 us to begin.

What is taken is what `by_numpy.py` finds to leave no choice in any bit, so that nobody can tell which of the two has computed. Where values
would leave one (nan or subnormal numbers among which the largest is looked for, integers that overflow), a step gives up, and XLA's
program runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.interpreters.partial_eval import dce_jaxpr

from .by_numpy import Refused, _Value
from .geometry import contiguous_strides
from .numpy_rules import MOVES
from .small_reader import TYPES, Reader, count_of

_CODES = """take put convert neg abs sign floor ceil sqrt not is_finite round_even round_away add sub mul div max min rem and or xor eq ne lt
le gt ge select sum prod all any largest smallest argmax argmin ordinary within not_zero inside pick lay total""".split()
_NUMBER = {name: i for i, name in enumerate(_CODES)}
_TYPE = {dtype: i for i, dtype in enumerate(TYPES)}
ARGUMENT, CONSTANT, ROOM, RESULT = range(4)
_MOST_ROOM = 1 << 18  # bytes
_MOST_SLOTS = 96
_DIMENSIONS = 8


class Look(NamedTuple):
    """Where a value lies: in a slot, from an element on, with these strides."""

    slot: int
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


class Small(NamedTuple):
    """What the kernel is told of a program."""

    steps: tuple[int, ...]
    extra: tuple[int, ...]
    places: tuple[int, ...]
    constants: bytes
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    room: int


def written(closed: Any, strides: Sequence[tuple[int, ...]]) -> Small:
    """A program whose arguments lie in memory with these strides. Raises Refused for one that is not for the kernel."""
    needs, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    closed = ClosedJaxpr(needs, closed.consts)
    reader = Reader()
    inputs = {v: _Value(reader.new()) for v in closed.jaxpr.invars}
    outs = reader.run(closed, dict(inputs))
    coder = _Coder()
    for (variable, value), steps in zip(inputs.items(), strides, strict=True):
        coder.at[value.place] = coder.argument(variable.aval.shape, steps, variable.aval.dtype)
    if reader.picks and reader.compares:  # XLA may make a maximum of the two
        for v in inputs.values():
            coder.ordinary(coder.at[v.place], nan=True)
    coder.known.update(reader.fixed)
    needed, wanted = {v.place for v in outs}, []
    for made in reversed(reader.made):
        if made[3] in needed and made[3] not in reader.fixed:
            needed.update(made[2])
            wanted.append(made)
    for made in reversed(wanted):
        coder.step(*made)
    if reader.orders:
        for place, most in reader.bounds.items():
            if place in needed:
                coder.within(place, int(most))
    return coder.finished([coder.read(v.place) for v in outs])


class _Coder:
    def __init__(self) -> None:
        self.at: dict[int, Look] = {}
        self.known: dict[int, np.ndarray] = {}  # values that hang on no argument
        self.steps: list[int] = []
        self.extra: list[int] = []
        self.places: list[list[int]] = []
        self.constants = bytearray()
        self.room = 0
        self._arguments = 0

    # ------------------------------------------------------------ slots

    def _slot(self, kind: int, where: int) -> int:
        if len(self.places) >= _MOST_SLOTS:
            raise Refused("many steps")
        self.places.append([kind, where])
        return len(self.places) - 1

    def argument(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> Look:
        """The next argument."""
        _type(dtype)
        self._arguments += 1
        return Look(self._slot(ARGUMENT, self._arguments - 1), 0, shape, strides, dtype)

    def new(self, shape: tuple[int, ...], dtype: np.dtype) -> Look:
        """Room for a value."""
        _type(dtype)
        where = self.room
        self.room += -(-math.prod(shape) * dtype.itemsize // 64) * 64 + 64
        if self.room > _MOST_ROOM or len(shape) > _DIMENSIONS:
            raise Refused("a large value")
        return Look(self._slot(ROOM, where), 0, shape, contiguous_strides(shape), dtype)

    def read(self, place: int) -> Look:
        """Where a value is; a known one becomes a constant of the program."""
        if place not in self.at:
            self.at[place] = self.constant(self.known[place])
        return self.at[place]

    def constant(self, value: Any) -> Look:
        """A value that is there already."""
        _type(value.dtype)
        if value.nbytes > _MOST_ROOM:
            raise Refused("a large value")
        self.constants += bytes(-len(self.constants) % 64)
        slot = self._slot(CONSTANT, len(self.constants))
        self.constants += value.tobytes()
        return Look(slot, 0, value.shape, contiguous_strides(value.shape), value.dtype)

    def emit(
        self, name: str, dtype: np.dtype, result: int, *operands: int, count: int = 0, more: int = 0, other: int = 0
    ) -> None:
        """One step more."""
        a, b, c = (*operands, 0, 0, 0)[:3]
        self.steps += (_NUMBER[name], _type(dtype), other, result, a, b, c, count, more)

    def _way(self, look: Look) -> int:
        if len(look.shape) > _DIMENSIONS:
            raise Refused("many dimensions")
        self.extra += (len(look.shape), look.start, *look.shape, *look.strides)
        return len(self.extra) - 2 - 2 * len(look.shape)

    def dense(self, look: Look) -> Look:
        """A value whose elements lie in a row."""
        if look.start == 0 and _in_a_row(look):
            return look._replace(strides=contiguous_strides(look.shape))
        made = self.new(look.shape, look.dtype)
        self._take(look, made.slot)
        return made

    def _take(self, look: Look, slot: int) -> None:
        if math.prod(look.shape):
            self.emit("take", look.dtype, slot, look.slot, more=self._way(look))

    def put(self, look: Look, into: Look) -> None:
        """Lay a value where `into` looks."""
        if math.prod(look.shape):
            self.emit("put", look.dtype, into.slot, self.dense(look).slot, more=self._way(into))

    # ------------------------------------------------------------ operations

    def step(self, equation: Any, by_numpy: Any, given: tuple[int, ...], place: int, which: int) -> None:
        """Whatever one operation takes."""
        name, out = equation.primitive.name, equation.outvars[which].aval
        if by_numpy is not None and all(i in self.known for i in given) and (name in MOVES or out.dtype.kind in "iub"):
            self.known[place] = np.asarray(by_numpy(*(self.known[i] for i in given)), out.dtype).reshape(out.shape)
            return
        if name not in _EMITTED:
            raise Refused(name)
        self.at[place] = _EMITTED[name](self, equation, [self.read(i) for i in given], out, which)

    def each(self, name: str, looks: Sequence[Look], out: Any, other: int = 0) -> Look:
        """An operation element by element."""
        operands = [self.dense(_spread(look, out.shape)) for look in looks]
        made = self.new(out.shape, out.dtype)
        self.emit(
            name, looks[-1].dtype, made.slot, *(o.slot for o in operands), count=math.prod(out.shape), other=other
        )
        return made

    def ordinary(self, *looks: Look, nan: bool = False) -> list[Look]:
        """The values, of which the program gives up if there are subnormal numbers among them, or nan where it is not allowed."""
        made = [self.dense(look) for look in looks]
        for look in made:
            if look.dtype.kind == "f":
                self.emit("ordinary", look.dtype, 0, look.slot, count=math.prod(look.shape), more=int(nan))
        return made

    def within(self, place: int, most: int) -> None:
        """Give up where integers are larger."""
        if place in self.known:
            if self.known[place].size and int(np.abs(self.known[place]).max()) > most:
                raise Refused("integers that may overflow")
            return
        look = self.dense(self.read(place))
        if most < 0:
            raise Refused("integers that may overflow")
        self.emit("within", look.dtype, 0, look.slot, count=math.prod(look.shape), more=min(most, 2**63 - 1))

    def finished(self, outs: list[Look]) -> Small:
        """What the kernel is told, with these results."""
        taken: set[int] = set()
        for i, look in enumerate(outs):
            if self.places[look.slot][0] == ROOM and look.slot not in taken and look.start == 0 and _in_a_row(look):
                self.places[look.slot] = [RESULT, i]
                taken.add(look.slot)
            else:
                slot = self._slot(RESULT, i)
                self._take(look, slot)
        places = tuple(number for place in self.places for number in place)
        shapes, dtypes = tuple(look.shape for look in outs), tuple(look.dtype for look in outs)
        return Small(tuple(self.steps), tuple(self.extra), places, bytes(self.constants), shapes, dtypes, self.room)


def _type(dtype: np.dtype) -> int:
    if dtype not in _TYPE:
        raise Refused(dtype.name)
    return _TYPE[dtype]


def _in_a_row(look: Look) -> bool:
    step = 1
    for size, stride in zip(reversed(look.shape), reversed(look.strides), strict=True):
        if size != 1 and stride != step:
            return False
        step *= size
    return True


# what the kernel has for no dtype
NEVER: frozenset[str] = frozenset(
    """exp exp2 log log1p expm1 tanh sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh logistic erf erfc erf_inv lgamma digamma pow
    rsqrt cbrt dot_general conv_general_dilated sort cumsum cumprod cummax cummin cumlogsumexp while scan cond fft""".split()
)

_Emit = Callable[[_Coder, Any, list[Look], Any, int], Look]
_EMITTED: dict[str, _Emit] = {}


def _emits(*names: str) -> Callable[[_Emit], _Emit]:
    def enter(function: _Emit) -> _Emit:
        _EMITTED.update(dict.fromkeys(names, function))
        return function

    return enter


@_emits(
    "add",
    "add_any",
    "sub",
    "mul",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and",
    "or",
    "xor",
    "neg",
    "abs",
    "sqrt",
    "not",
    "is_finite",
)
def _each(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    name = equation.primitive.name
    return coder.each("add" if name == "add_any" else name, given, out)


@_emits("max", "min", "sign", "floor", "ceil", "round")
def _of_ordinary(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    name = equation.primitive.name
    if name == "round":
        name = "round_even" if "EVEN" in str(equation.params["rounding_method"]) else "round_away"
    return coder.each(name, coder.ordinary(*given), out)


@_emits("div", "rem", "flambeau_function")
def _divided(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    name = equation.primitive.name
    if out.dtype.kind == "f":
        if name == "div":
            if not (count := count_of(equation)):
                return coder.each(name, given, out)
            return coder.each("mul", [given[0], coder.constant(out.dtype.type(1) / out.dtype.type(count))], out)
        made = coder.each("rem", coder.ordinary(*given), out)
        return coder.ordinary(made)[0]
    given = [coder.dense(_spread(look, out.shape)) for look in given]
    coder.emit("not_zero", out.dtype, 0, given[0].slot, given[1].slot, count=math.prod(out.shape))
    return coder.each(name, given, out)


@_emits("square", "integer_pow")
def _square(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    return coder.each("mul", given * 2, out)


@_emits("clamp")
def _clamp(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    low, x, high = (_spread(look, out.shape) for look in coder.ordinary(*given))
    return coder.each("min", [coder.each("max", [x, low], out), high], out)


def _spread(look: Look, shape: tuple[int, ...]) -> Look:
    """One number, or one for each row or column, as often as a shape needs it."""
    if look.shape == shape:
        return look
    strides = look.strides or (0,) * len(shape)
    strides = tuple(0 if n == 1 else stride for n, stride in zip(look.shape or (1,) * len(shape), strides, strict=True))
    return look._replace(shape=shape, strides=strides)


@_emits("select_n")
def _select(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    return coder.each("select", given, out)


@_emits("convert_element_type")
def _convert(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    return given[0] if given[0].dtype == out.dtype else coder.each("convert", given, out, _type(out.dtype))


# ---------------------------------------------------------------- what moves elements


@_emits("copy", "copy_p", "stop_gradient")
def _same(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    return given[0]


@_emits("broadcast_in_dim")
def _broadcast(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    strides = [0] * len(out.shape)
    for d, size, stride in zip(equation.params["broadcast_dimensions"], given[0].shape, given[0].strides, strict=True):
        strides[d] = stride if size > 1 else 0
    return given[0]._replace(shape=out.shape, strides=tuple(strides))


@_emits("reshape", "squeeze", "expand_dims")
def _reshape(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    return coder.dense(given[0])._replace(shape=out.shape, strides=contiguous_strides(out.shape))


@_emits("transpose")
def _transpose(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    order = equation.params["permutation"]
    return given[0]._replace(shape=out.shape, strides=tuple(given[0].strides[d] for d in order))


@_emits("slice")
def _slice(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    p, look = equation.params, given[0]
    steps = p["strides"] or (1,) * len(out.shape)
    start = look.start + sum(s * stride for s, stride in zip(p["start_indices"], look.strides, strict=True))
    return look._replace(
        start=start, shape=out.shape, strides=tuple(s * t for s, t in zip(look.strides, steps, strict=True))
    )


@_emits("split")
def _part(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    axis, before = equation.params["axis"], sum(equation.params["sizes"][:which])
    return given[0]._replace(start=given[0].start + before * given[0].strides[axis], shape=out.shape)


@_emits("rev")
def _reverse(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    look, strides = given[0], list(given[0].strides)
    start = look.start
    for d in equation.params["dimensions"]:
        start += max(look.shape[d] - 1, 0) * strides[d]
        strides[d] = -strides[d]
    return look._replace(start=start, strides=tuple(strides))


@_emits("concatenate", "stack")
def _joined(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    stacks = equation.primitive.name == "stack"
    axis = equation.params["axis" if stacks else "dimension"]
    made, start = coder.new(out.shape, out.dtype), 0
    for look in given:
        if stacks:
            look = look._replace(
                shape=(*look.shape[:axis], 1, *look.shape[axis:]),
                strides=(*look.strides[:axis], 0, *look.strides[axis:]),
            )
        coder.put(look, made._replace(start=start, shape=look.shape))
        start += look.shape[axis] * made.strides[axis]
    return made


@_emits("pad")
def _padded(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    x, value = given
    made = coder.new(out.shape, out.dtype)
    coder._take(_spread(value, out.shape), made.slot)
    config = equation.params["padding_config"]
    start = sum(low * stride for (low, _, _), stride in zip(config, made.strides, strict=True))
    strides = tuple(stride * (between + 1) for (_, _, between), stride in zip(config, made.strides, strict=True))
    coder.put(x, made._replace(start=start, shape=x.shape, strides=strides))
    return made


# ---------------------------------------------------------------- reductions


_REDUCED = {"reduce_sum": "sum", "reduce_prod": "prod", "reduce_and": "all", "reduce_or": "any",
            "reduce_max": "largest", "reduce_min": "smallest", "argmax": "argmax", "argmin": "argmin"}  # fmt: skip


@_emits(*_REDUCED)
def _reduce(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    name, look = _REDUCED[equation.primitive.name], given[0]
    axes = equation.params["axes"]
    order = (*(d for d in range(len(look.shape)) if d not in axes), *sorted(axes))
    width = math.prod(look.shape[d] for d in axes)
    if not width or not math.prod(out.shape):
        raise Refused("nothing to reduce")
    look = coder.dense(
        look._replace(shape=tuple(look.shape[d] for d in order), strides=tuple(look.strides[d] for d in order))
    )
    if name == "sum" and out.dtype.kind == "f":
        name = "total"
    if name not in ("sum", "total", "prod", "all", "any"):
        coder.ordinary(look)
    made = coder.new(out.shape, out.dtype)
    coder.emit(name, look.dtype, made.slot, look.slot, count=math.prod(out.shape), more=width, other=_type(out.dtype))
    return made


# ---------------------------------------------------------------- by their numbers


def _numbers(coder: _Coder, where: Look, i: int, most: int) -> Look:
    """The i-th number of each place, in 64 bits, of which the program gives up if one is not there."""
    shape = where.shape[:-1]
    look = coder.dense(Look(where.slot, where.start + i * where.strides[-1], shape, where.strides[:-1], where.dtype))
    coder.emit("inside", look.dtype, 0, look.slot, count=math.prod(shape), more=most)
    if look.dtype == _INT64:
        return look
    made = coder.new(shape, _INT64)
    coder.emit("convert", look.dtype, made.slot, look.slot, count=math.prod(shape), other=_TYPE[_INT64])
    return made


def _whole(coder: _Coder, name: str, *looks: Look, shape: tuple[int, ...]) -> Look:
    return coder.each(name, looks, jax.ShapeDtypeStruct(shape, _INT64))


_INT64 = np.dtype(np.int64)


def _placed(
    coder: _Coder,
    where: Look,
    x: Look,
    named: Sequence[int],
    batching: dict[int, int],
    sizes: dict[int, int],
    window: Sequence[int],
) -> Look:
    """The places in a row of what a gather takes or a scatter lays: of each window, and within it.

    `named` are the dimensions that the numbers are of, `batching` which dimension of the numbers goes along with one of x, `sizes` how large a
    window is, and `window` its dimensions in their order.
    """
    steps, batch = contiguous_strides(x.shape), where.shape[:-1]
    shape = (*batch, *(sizes[d] for d in window))
    fixed = np.zeros(shape, np.int64)
    for at, d in enumerate(window):
        fixed += (np.arange(sizes[d]) * steps[d]).reshape(-1, *(1,) * (len(window) - at - 1))
    for d, i in batching.items():
        fixed += (np.arange(batch[i]) * steps[d]).reshape(-1, *(1,) * (len(shape) - i - 1))
    made = coder.constant(fixed)
    for i, d in enumerate(named):
        number = _numbers(coder, where, i, x.shape[d] - sizes.get(d, 1))
        if steps[d] != 1:
            number = _whole(coder, "mul", number, coder.constant(np.asarray(steps[d], np.int64)), shape=batch)
        number = number._replace(shape=(*batch, *(1,) * len(window)), strides=(*number.strides, *(0,) * len(window)))
        made = _whole(coder, "add", made, number, shape=shape)
    return made


@_emits("gather")
def _gather(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    x, where = coder.dense(given[0]), given[1]
    p, numbers = equation.params, equation.params["dimension_numbers"]
    left_out = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    window = [d for d in range(len(x.shape)) if d not in left_out]
    batching = dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
    sizes = dict(enumerate(p["slice_sizes"]))
    places = _placed(coder, where, x, numbers.start_index_map, batching, sizes, window)
    made = coder.new(places.shape, x.dtype)
    coder.emit("pick", x.dtype, made.slot, x.slot, places.slot, count=math.prod(places.shape))
    outer = [d for d in range(len(places.shape)) if d not in numbers.offset_dims]
    order = np.argsort([*outer, *numbers.offset_dims])
    return made._replace(shape=out.shape, strides=tuple(made.strides[d] for d in order))


@_emits("scatter")
def _scatter(coder: _Coder, equation: Any, given: list[Look], out: Any, which: int) -> Look:
    x, where, updates = given
    numbers = equation.params["dimension_numbers"]
    left_out = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    window = [d for d in range(len(x.shape)) if d not in left_out]
    sizes = {d: updates.shape[i] for d, i in zip(window, numbers.update_window_dims, strict=True)}
    batching = dict(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True))
    places = _placed(coder, where, x, numbers.scatter_dims_to_operand_dims, batching, sizes, window)
    order = [
        *(d for d in range(len(updates.shape)) if d not in numbers.update_window_dims),
        *numbers.update_window_dims,
    ]
    updates = coder.dense(
        updates._replace(shape=tuple(updates.shape[d] for d in order), strides=tuple(updates.strides[d] for d in order))
    )
    made = coder.new(out.shape, out.dtype)
    coder._take(x, made.slot)
    coder.emit("lay", x.dtype, made.slot, updates.slot, coder.dense(places).slot, count=math.prod(places.shape))
    return made
