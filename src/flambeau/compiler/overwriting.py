"""Writes into a part of an array whose new values are computed from other parts of it, kept from XLA's hands.

XLA's CPU compiler (jaxlib 0.10 to 0.12) writes such a part in place, in the loop that computes the values. Where the array has another
shape for the one that reads than for the one that writes, it does not see that the loop reads what it has written over already:
`dynamic_update_slice(y, y.reshape(5, 4).T.reshape(20)[:12], (0,))` is wrong. Such writes are found here, and become a choice between
the old numbers and the new ones, which is computed into memory of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}
_SAME = frozenset(("reshape", "squeeze", "expand_dims", "copy", "copy_p", "optimization_barrier", "stop_gradient"))
_WITH_PROGRAMS = frozenset(("while", "scan", "cond"))
_READS = frozenset(("slice", "dynamic_slice"))
# What XLA computes apart from the loop that takes its result.
_APART = frozenset(
    ("dot_general", "conv_general_dilated", "ragged_dot", "ragged_dot_general", "sort", "while", "scan", "fft")
)
_INTO: dict[str, Callable[[Any, Any], Any]] = {
    "dynamic_update_slice": lambda old, new: new,
    "scatter": lambda old, new: new,
    "scatter-add": lax.add,
    "scatter-sub": lax.sub,
    "scatter-mul": lax.mul,
    "scatter-min": lax.min,
    "scatter-max": lax.max,
}


class _Made(NamedTuple):
    """One operation of a flattened program, by the numbers of its values."""

    equation: Any
    operands: tuple[int, ...]
    results: tuple[int, ...]


class _Values:
    """A program's values by number, in the order in which they come to be."""

    def __init__(self) -> None:
        self.avals: list[Any] = []
        self.root: list[int] = []  # whose elements these are, in the same order
        self.made: dict[int, _Made] = {}
        self.writes: list[_Made] = []
        self.sums: list[_Made] = []
        self.literals: dict[int, Any] = {}
        self._known: dict[Any, int] = {}
        self._equal: dict[int, int] = {}

    def new(self, aval: Any, root: int | None = None) -> int:
        number = len(self.avals)
        self.avals.append(aval)
        self.root.append(number if root is None else root)
        return number

    def write(self, jaxpr: Any, consts: Sequence[int], given: Sequence[int]) -> list[int]:
        """Add a jaxpr's operations; the numbers of its results."""
        numbers = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))

        def number(atom: Any) -> int:
            if not isinstance(atom, Literal):
                return numbers[atom]
            value: Any = atom.val
            key = (type(value), value) if isinstance(value, (int, float, np.generic)) else id(value)
            if key not in self._known:
                self._known[key] = self.new(atom.aval)
                self.literals[self._known[key]] = value
            return self._known[key]

        for equation in jaxpr.eqns:
            operands = tuple(map(number, equation.invars))
            inner = _called(equation)
            if inner is not None:
                made = self.write(inner.jaxpr, [self.new(jax.typeof(c)) for c in inner.consts], operands)
            else:
                made = self._add(equation, operands)
            numbers.update(zip(equation.outvars, made, strict=True))
        return [number(atom) for atom in jaxpr.outvars]

    def _add(self, equation: Any, operands: tuple[int, ...]) -> list[int]:
        name = equation.primitive.name
        outs = [v.aval for v in equation.outvars]
        same = name in _SAME or (name == "broadcast_in_dim" and _size(outs[0]) == _size(self.avals[operands[0]]))
        results = [self.new(aval, self.root[operands[i]] if same else None) for i, aval in enumerate(outs)]
        made = _Made(equation, operands, tuple(results))
        self.made.update(dict.fromkeys(results, made))
        if name in _INTO:
            self.writes.append(made)
        elif name in ("add", "add_any", "sub"):
            self.sums.append(made)
        if _is_place(outs[0]) and len(outs) == 1:  # where a part begins, which may be computed again in the same way
            key = name, str(equation.params), tuple(map(self.equal, operands))
            self._equal[results[0]] = self._known.setdefault(key, results[0])
        return results

    def equal(self, number: int) -> int:
        """The first value that is computed in the same way."""
        return self._equal.get(number, number)


def _is_place(aval: Any) -> bool:
    return getattr(aval, "shape", None) == () and aval.dtype.kind in "iu"


def _size(aval: Any) -> int:
    return math.prod(getattr(aval, "shape", ()))


class _Part(NamedTuple):
    """Where an operation writes: the sizes of the array and of the part, and where that begins, by numbers or as a number."""

    sizes: tuple[int, ...]
    part: tuple[int, ...]
    begins: tuple[Any, ...]

    def without_ones(self) -> list[tuple[int, int, Any]]:
        return [row for row in zip(*self, strict=True) if row[0] != 1]


def _part(values: _Values, made: _Made) -> _Part | None:
    """Where an operation reads or writes one part; None for a scatter into several places."""
    equation, operands = made.equation, made.operands
    sizes, name = tuple(values.avals[operands[0]].shape), equation.primitive.name
    params = equation.params

    def told(number: int) -> Any:
        return int(values.literals[number]) if number in values.literals else ("value", values.equal(number))

    if name == "slice":
        if params["strides"] is not None and any(step != 1 for step in params["strides"]):
            return None
        part = tuple(b - a for a, b in zip(params["start_indices"], params["limit_indices"], strict=True))
        return _Part(sizes, part, tuple(map(int, params["start_indices"])))
    if name == "dynamic_slice":
        return _Part(sizes, tuple(params["slice_sizes"]), tuple(map(told, operands[1 : 1 + len(sizes)])))
    if name == "dynamic_update_slice":
        return _Part(sizes, tuple(values.avals[operands[1]].shape), tuple(map(told, operands[2:])))
    indices = values.avals[operands[1]].shape
    if math.prod(indices[:-1]) != 1 or params["dimension_numbers"].operand_batching_dims:
        return None
    whole = _as_operand(jax.ShapeDtypeStruct(values.avals[operands[2]].shape, bool), params["dimension_numbers"])
    return _Part(sizes, whole, tuple(("index", operands[1], axis) for axis in range(len(sizes))))


def _as_operand(updates: Any, numbers: Any) -> tuple[int, ...]:
    """The shape of a scatter's one update, with all dimensions of what is written to."""
    window = iter([updates.shape[d] for d in numbers.update_window_dims])
    rank = len(numbers.update_window_dims) + len(numbers.inserted_window_dims)
    return tuple(1 if d in numbers.inserted_window_dims else next(window) for d in range(rank))


def _reads_elsewhere(values: _Values, update: int, array: int, where: _Part) -> bool:
    """Whether new values are computed, in one loop with the write, from elements of the array at other places than their own."""
    array = values.root[array]
    stack, seen = [(update, True)], set()
    while stack:
        number, own_places = entry = stack.pop()
        if entry in seen or number < array or number in values.literals:
            continue
        seen.add(entry)
        if values.root[number] == array:
            if not own_places or _size(values.avals[number]) != math.prod(where.part):
                return True
            continue
        made = values.made.get(number)
        if made is None or made.equation.primitive.name in _APART:
            continue
        name = made.equation.primitive.name
        if name in _READS and own_places and values.root[made.operands[0]] == array:
            part = _part(values, made)
            if part is None or part.without_ones() != where.without_ones():
                return True
            continue
        size = _size(values.avals[number])
        in_order = values.root[number] != number or name in _IN_ORDER
        for operand in made.operands:
            stack.append((operand, own_places and in_order and _size(values.avals[operand]) == size))
    return False


# One element of the result is computed from the elements at its own place.
_IN_ORDER = frozenset(
    """abs add add_any and atan2 cbrt ceil clamp convert_element_type cos div eq erf erfc exp exp2 expm1 floor ge gt integer_pow
    is_finite le log log1p logistic lt max min mul ne neg not or pow reduce_precision rem round rsqrt select_n sign sin
    one_minus_square sqrt square sub tan tanh xor""".split()
)


def _dangerous(jaxpr: Any) -> set[int]:
    """The ids of the operations that write so."""
    values = _Values()
    values.write(jaxpr, [values.new(v.aval) for v in jaxpr.constvars], [values.new(v.aval) for v in jaxpr.invars])
    added: dict[int, list[int]] = {}  # to what is added what a write into zeros gives: XLA writes into that
    for made in values.sums:
        for number, other in (made.operands, made.operands[::-1]):
            added.setdefault(values.root[number], []).append(other)
    found = set()
    for made in values.writes:
        where = _part(values, made)
        if where is None:
            continue
        update = made.operands[1 if made.equation.primitive.name == "dynamic_update_slice" else 2]
        arrays = [made.operands[0], *added.get(made.results[0], ())]
        if any(_reads_elsewhere(values, update, array, where) for array in arrays):
            found.add(id(made.equation))
    return found


def _called(equation: Any) -> Any:
    """The program that a call is of, or None."""
    inner = equation.params.get(_CALLS.get(equation.primitive.name, ""))
    return inner if isinstance(inner, ClosedJaxpr) else None


def _has_writes(jaxpr: Any) -> bool:
    return any(e.primitive.name in _INTO or ((c := _called(e)) and _has_writes(c.jaxpr)) for e in jaxpr.eqns)


# ---------------------------------------------------------------- the program without them


def apart(closed: Any) -> Any:
    """The same computation, in which no part is written in place by a loop that reads other parts of the array."""
    # by the ids of operations: None for those writes, or the parameters of what has programs
    changes: dict[int, Any] = {}
    if _has_writes(closed.jaxpr):
        changes.update(dict.fromkeys(_dangerous(closed.jaxpr)))
    _look_within(closed.jaxpr, changes)
    if not changes:
        return closed
    consts = len(closed.jaxpr.constvars)
    avals = [v.aval for v in (*closed.jaxpr.constvars, *closed.jaxpr.invars)]

    def run(*arrays: Any) -> list[Any]:
        return _run(closed.jaxpr, arrays[:consts], arrays[consts:], changes)

    made = jax.make_jaxpr(run)(*[jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals])
    given, inner = made.jaxpr.invars, made.jaxpr.constvars
    info = closed.jaxpr.debug_info
    jaxpr = made.jaxpr.replace(constvars=[*given[:consts], *inner], invars=given[consts:], debug_info=info)
    return ClosedJaxpr(jaxpr, [*closed.consts, *made.consts])


def separately(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays that gives the same so, for `jax.jit`."""

    def run(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        closed = apart(closed)
        made = jax.core.eval_jaxpr(closed.jaxpr, closed.consts, *jax.tree_util.tree_leaves(args))
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shapes), made)

    return run


def _look_within(jaxpr: Any, changes: dict[int, Any]) -> None:
    """Note the operations that have programs (loops, branches) which are to be others."""
    for equation in jaxpr.eqns:
        if (inner := _called(equation)) is not None:
            _look_within(inner.jaxpr, changes)
        elif equation.primitive.name in _WITH_PROGRAMS:
            params = {name: _each_apart(value) for name, value in equation.params.items()}
            if any(params[name] is not value for name, value in equation.params.items()):
                changes[id(equation)] = params


def _each_apart(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return apart(value)
    if isinstance(value, tuple) and value and all(isinstance(v, ClosedJaxpr) for v in value):
        made = tuple(map(apart, value))
        return value if all(map(operator.is_, made, value)) else made
    return value


def _run(jaxpr: Any, consts: Sequence[Any], given: Sequence[Any], changes: dict[int, Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        primitive, inner = equation.primitive, _called(equation)
        params = changes.get(id(equation), equation.params)
        with equation.ctx.manager:
            if inner is not None:
                made: Any = _run(inner.jaxpr, inner.consts, operands, changes)
            elif params is None:
                made = [_chosen(primitive.name, equation.params, operands)]
            else:
                made = primitive.bind(*operands, **primitive.get_bind_params(params))
                made = made if primitive.multiple_results else [made]
        values.update(zip(equation.outvars, made, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _chosen(name: str, params: dict[str, Any], operands: list[Any]) -> Any:
    """What a write gives, as a choice for each element."""
    array, update, begins, valid = operands[0], operands[1], list(operands[2:]), None
    if name != "dynamic_update_slice":
        numbers, indices = params["dimension_numbers"], jnp.reshape(operands[1], -1).astype(jnp.int64)
        update = jnp.reshape(operands[2], _as_operand(operands[2], numbers))
        axes = numbers.scatter_dims_to_operand_dims
        begins = [indices[axes.index(d)] if d in axes else 0 for d in range(array.ndim)]
        if params["mode"] == lax.GatherScatterMode.FILL_OR_DROP:
            rows = zip(begins, array.shape, update.shape, strict=True)
            valid = jnp.all(jnp.stack([jnp.asarray((b >= 0) & (b <= n - u)) for b, n, u in rows]))
    sizes = list(zip(begins, array.shape, update.shape, strict=True))
    begins = [jnp.clip(b, 0, n - u) for b, n, u in sizes]
    wide = lax.pad(update, jnp.zeros((), update.dtype), [(n - u, n - u, 0) for _, n, u in sizes])
    placed = lax.dynamic_slice(wide, [n - u - b for b, (_, n, u) in zip(begins, sizes, strict=True)], array.shape)
    inside = valid
    for axis, (begin, (_, n, u)) in enumerate(zip(begins, sizes, strict=True)):
        if n != u:
            places = lax.broadcasted_iota(jnp.asarray(begin).dtype, array.shape, axis)
            here = (places >= begin) & (places < begin + u)
            inside = here if inside is None else inside & here
    new = _INTO[name](array, placed)
    return new if inside is None else jnp.where(inside, new, array)
