"""Elementwise functions with several results as one pass over memory.

XLA's CPU compiler makes a loop for each result, and each loop reads its arguments anew: for arrays beyond the caches that is
what an optimizer's step costs. `fused` writes such a function down as a list of instructions, which the native kernel
runs block by block.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal
from jax.interpreters import ad

from . import serves
from .kernel import kernel

__all__ = ["Instruction", "assembled", "fused", "fused_sets", "instructions"]

LARGE = 1 << 17  # elements from which on memory is what counts

# The kernel's operations, in its order, with the number of their operands. Truth values are 1 and 0 there.
_OPERATIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, lax.add),
    "sub": (2, lax.sub),
    "mul": (2, lax.mul),
    "div": (2, lax.div),
    "max": (2, lax.max),
    "min": (2, lax.min),
    "neg": (1, lax.neg),
    "sqrt": (1, lax.sqrt),
    "abs": (1, lax.abs),
    "sign": (1, lax.sign),
    **{name: (2, getattr(lax, name)) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "select_n": (3, lambda which, a, b: jnp.where(which == 0, a, b)),
    "copy": (1, lambda a: a),
    "fma": (3, lambda a, b, c: c + a * b),
    "fnma": (3, lambda a, b, c: c - a * b),
}
_NUMBERS = {name: number for number, name in enumerate(_OPERATIONS)}


# ---------------------------------------------------------------- the primitive


class Instruction(NamedTuple):
    """`registers[result] = operation(*registers[operands])`. Registers: arguments, scalars, results, temporaries."""

    operation: str
    result: int
    operands: tuple[int, ...]


def assembled(program: Sequence[Instruction]) -> np.ndarray:
    """A program as the kernel reads it."""
    code = [n for name, made, operands in program for n in (_NUMBERS[name], made, *(*operands, 0, 0)[:3])]
    return np.array(code, np.int64)


def _xla(*given: jax.Array, program: Sequence[Instruction], results: int, places: Any, members: int) -> list[jax.Array]:
    *arrays, scalars = given
    made = [_one_set(arrays[i::members], scalars, program, results) for i in range(members)]
    return [made[i][k] for k in range(results) for i in range(members)]


def _one_set(
    arrays: Sequence[jax.Array], scalars: jax.Array, program: Sequence[Instruction], results: int
) -> list[jax.Array]:
    registers = dict(enumerate([*arrays, *scalars]))
    first = len(registers)
    for operation, result, operands in program:
        made = _OPERATIONS[operation][1](*jnp.broadcast_arrays(*(registers[i] for i in operands)))
        registers[result] = made.astype(np.float32)
    return [registers[first + i] for i in range(results)]


def _native(
    *given: jax.Array, result: Any, program: Sequence[Instruction], results: int, places: Any, members: int
) -> Any:
    call = jax.ffi.ffi_call(
        "flambeau_elementwise",
        [jax.ShapeDtypeStruct(r.shape, r.dtype) for r in result],
        input_output_aliases=dict(places),
    )
    numbers = {"temporaries": np.int64(len(program)), "members": np.int64(members)}
    return call(*given, program=assembled(program), **numbers)


def _shapes(*given: Any, results: int, members: int, **_: Any) -> Any:
    return [jax.core.ShapedArray(given[i].shape, given[i].dtype) for _ in range(results) for i in range(members)]


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    return jax.jvp(partial(_xla, **params), primals, tuple(map(ad.instantiate_zeros, tangents)))


_fused_p = kernel(
    "flambeau_elementwise",
    _xla,
    _native,
    shape=_shapes,
    several=True,
    fits=lambda *shapes, members, **_: any(map(math.prod, shapes[:members])),
    jvp=_jvp,
    rows=lambda dims, *_, **__: not dims[-1],
)


# ---------------------------------------------------------------- writing a function down


class _Untold(Exception):
    """Something that is not elementwise, or for which there is no instruction."""


class _Place(NamedTuple):
    """Where a full array is: the argument or the instruction of that number."""

    is_argument: bool
    number: int


class _Writer:
    """Writes a jaxpr down. What needs only scalars is computed on the side; the instructions then see its value."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape
        self.scalars: list[Any] = []
        self.code: list[tuple[str, list[Any]]] = []

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            given = [read(atom) for atom in equation.invars]
            primitive, params = equation.primitive, equation.params
            if primitive.name in ("jit", "pjit"):
                made = self.run(params["jaxpr"].jaxpr, params["jaxpr"].consts, given)
            elif any(isinstance(value, _Place) for value in given):
                made = [self.write(equation, given)]
            elif primitive.name == "broadcast_in_dim" and not np.shape(given[0]):
                made = given[:1]  # the kernel's scalars go with arrays as they are
            elif all(out.aval.shape == () for out in equation.outvars):
                made = primitive.bind(*given, **primitive.get_bind_params(params))
                made = made if primitive.multiple_results else [made]
            else:
                raise _Untold(primitive.name)
            values.update(zip(equation.outvars, made, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def write(self, equation: Any, given: list[Any]) -> Any:
        name, (out,) = equation.primitive.name, equation.outvars
        if out.aval.shape != self.shape or out.aval.dtype not in (np.float32, np.bool_):
            raise _Untold(name)
        if name in ("convert_element_type", "copy", "broadcast_in_dim"):
            return given[0]
        if name == "square" or (name == "integer_pow" and equation.params["y"] == 2):
            name, given = "mul", [given[0], given[0]]
        if name not in _OPERATIONS or len(given) != _OPERATIONS[name][0]:
            raise _Untold(name)
        self.code.append((name, [self.operand(value) for value in given]))
        return _Place(False, len(self.code) - 1)

    def numbers(self) -> jax.Array:
        """The scalars as the kernel takes them."""
        return jnp.stack([jnp.asarray(s).astype(np.float32) for s in self.scalars] or [np.float32(0)])

    def operand(self, value: Any) -> Any:
        """A place, or the number of a scalar."""
        if isinstance(value, _Place):
            return value
        for i, known in enumerate(self.scalars):
            if known is value:
                return i
        if np.shape(value):
            raise _Untold("an array from outside")
        self.scalars.append(value)
        return len(self.scalars) - 1


def fused(function: Callable[..., Sequence[Any]], arrays: Sequence[Any], in_place: dict[int, int] | None = None) -> Any:
    """`function(*arrays)`, a list of results, in one pass over large float32 arrays of one shape.

    It may use scalars from outside. `in_place` says of a result which array's memory it may take (result: array), for
    programs that own it. A function that is not elementwise, or needs more than the kernel's operations, is just called.
    """
    made = None if math.prod(arrays[0].shape) < LARGE else _written(function, [[a] for a in arrays], in_place)
    return function(*arrays) if made is None else [one[0] if isinstance(one, list) else one for one in made]


def fused_sets(function: Callable[..., Sequence[Any]], columns: Sequence[Sequence[Any]]) -> list[Any] | None:
    """`function` of each set of arrays (`columns` has the first, second, ... arrays of all sets), as one call of the kernel.

    Of each result the list of all sets' arrays, or the value that they share; None where the kernel can't do it. What the function
    does must not depend on the shape.
    """
    return _written(function, columns) if serves(np.float32, "flambeau_elementwise") else None


def instructions(
    function: Callable[..., Sequence[Any]], count: int, results: int, owned: dict[int, int]
) -> tuple[jax.Array, jax.Array, list[Any]]:
    """What `function` does with sets of `count` arrays: the kernel's program, its scalars, and the last of the function's results.

    A result may be written over the array whose number `owned` gives.

    The first `results` are arrays of each set's shape, the others are numbers that all sets share. The program is empty where the kernel
    can't do it. A jitted function may give it as a result, and need not be traced again where it is found on the disk.
    """
    none = jnp.zeros((0,), np.int64), jnp.zeros((1,), np.float32)
    read = _read(function, [jnp.zeros((2, 3), np.float32)] * count)
    if read is None:
        return *none, []
    writer, made, _ = read
    if _places(made) != list(range(results)):
        return *none, []
    scalars = writer.numbers()
    program = _assembled(writer.code, count, scalars.size, [value.number for value in made[:results]], owned)
    return jnp.asarray(assembled(program)), scalars, made[results:]


def _places(results: Sequence[Any]) -> list[int]:
    """Which results are arrays that instructions have made."""
    return [i for i, value in enumerate(results) if isinstance(value, _Place) and not value.is_argument]


def _read(function: Callable[..., Sequence[Any]], arrays: Sequence[Any]) -> tuple[_Writer, list[Any], list[Any]] | None:
    """A function of arrays of one shape, written down: the writer, the results and their shapes. None if it can't be."""
    closed = jax.make_jaxpr(lambda *args: list(function(*args)))(*arrays)
    writer = _Writer(arrays[0].shape)
    try:
        made = writer.run(closed.jaxpr, closed.consts, [_Place(True, i) for i in range(len(arrays))])
    except _Untold:
        return None
    return writer, made, [aval.shape for aval in closed.out_avals]


def _written(
    function: Callable[..., Sequence[Any]], columns: Sequence[Sequence[Any]], in_place: dict[int, int] | None = None
) -> list[Any] | None:
    members, sets = len(columns[0]), list(zip(*columns, strict=True))
    if any(a.shape != each[0].shape or a.dtype != np.float32 for each in sets for a in each):
        return None
    arrays = max(sets, key=lambda each: each[0].ndim)  # where there is one that can be told from a number
    read = _read(function, arrays)
    if read is None:
        return None
    writer, results, shapes = read
    made = _places(results)
    if members > 1 and any(shapes[i] and not isinstance(results[i], _Place) for i in range(len(results))):
        return None  # a full array of a number
    owned = {made.index(i): array for i, array in (in_place or {}).items() if i in made}
    scalars = writer.numbers()
    program = _assembled(writer.code, len(arrays), scalars.size, [results[i].number for i in made], owned)
    places = tuple((array, result) for result, array in owned.items())
    computed: Sequence[Any] = ()
    if made:
        given = [array for column in columns for array in column]
        computed = _fused_p.bind(*given, scalars, program=program, results=len(made), places=places, members=members)
    for k, i in enumerate(made):
        results[i] = list(computed[k * members : (k + 1) * members])
    return [
        list(columns[value.number])
        if isinstance(value, _Place)
        else (value if isinstance(value, list) else jnp.broadcast_to(value, wanted))
        for value, wanted in zip(results, shapes, strict=True)
    ]


def _assembled(
    code: list[tuple[str, list[Any]]], arrays: int, scalars: int, made: list[int], owned: dict[int, int]
) -> tuple[Instruction, ...]:
    """The program whose results are what the instructions `made` give; of some of them arguments own the memory."""
    code, kept = _contracted(code, made)
    read_last = {value: i for i in kept for value in code[i][1]}
    first = arrays + scalars
    registers = {i: first + len(made) + place for place, i in enumerate(kept)}
    copies = []
    for result, i in enumerate(made):
        overwrites_too_early = read_last.get(_Place(True, owned.get(result, -1)), -1) > i
        if overwrites_too_early or i in made[:result]:
            copies.append(Instruction("copy", first + result, (registers[i],)))
        else:
            registers[i] = first + result

    def register(operand: Any) -> int:
        if not isinstance(operand, _Place):
            return arrays + operand
        return operand.number if operand.is_argument else registers[operand.number]

    return (*(Instruction(code[i][0], registers[i], tuple(map(register, code[i][1]))) for i in kept), *copies)


def _contracted(code: list[tuple[str, list[Any]]], made: list[int]) -> tuple[list[tuple[str, list[Any]]], list[int]]:
    """The instructions with products that only a sum needs computed in one with it, and which of them are needed."""
    uses = Counter(value for _, operands in code for value in operands)
    code = list(code)
    for i, (name, operands) in enumerate(code):
        for side in (1, 0) if name == "add" else (1,) if name == "sub" else ():
            value = operands[side]
            if not isinstance(value, _Place) or value.is_argument or uses[value] > 1 or value.number in made:
                continue
            inner, factors = code[value.number]
            if inner == "mul":
                code[i] = ("fma" if name == "add" else "fnma", [*factors, operands[1 - side]])
                break
    needed = set(made)
    for i in reversed(range(len(code))):
        if i in needed:
            needed |= {v.number for v in code[i][1] if isinstance(v, _Place) and not v.is_argument}
    return code, sorted(needed)
