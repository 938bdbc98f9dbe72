"""What two traces of one function have in common, and in which numbers they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Parameters that say nothing of what is computed: functions that make derivatives, which a finished trace has
_UNSAID = frozenset(("jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees", "num_consts_fwd", "symbolic_zeros"))


class Skeleton(NamedTuple):
    """A jaxpr as two lists: `parts` is all of it but its numbers, and `numbers` are sizes, literals and whole parameters, in order.

    `sizes` are the places of arrays' sizes among the numbers.
    """

    parts: list[Any]
    numbers: list[Any]
    sizes: list[int]


def skeleton(jaxpr: Any) -> Skeleton:
    writer = _Writer()
    writer.jaxpr(jaxpr)
    return Skeleton(writer.parts, writer.numbers, writer.sizes)


def numbers_of(params: dict[str, Any]) -> list[Any]:
    """The numbers in an equation's parameters."""
    writer = _Writer()
    writer.params(params)
    return writer.numbers


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are one: 0.0 is not -0.0, nan is nan, 1 is not 1.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b) if a == a else b != b
    return bool(a == b)


def same_numbers(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def first_difference(a: list[Any], b: list[Any]) -> int | None:
    """The place of the first part in which two differ; None if they are equal."""
    if a == b:
        return None
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


class _Writer:
    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.numbers: list[Any] = []
        self.sizes: list[int] = []
        self.known: dict[int, tuple[Any, list[Any], list[Any], list[int]]] = {}  # jaxprs that several equations share

    def jaxpr(self, jaxpr: Any) -> None:
        ids: dict[Any, int] = {}
        for var in (*jaxpr.constvars, *jaxpr.invars):
            ids[var] = len(ids)
            self.aval(var.aval)
        for equation in jaxpr.eqns:
            self.parts.append(equation.primitive.name)
            for atom in equation.invars:
                self.atom(atom, ids)
            self.params(_told(equation))
            for var in equation.outvars:
                ids[var] = len(ids)
                self.aval(var.aval)
        for atom in jaxpr.outvars:
            self.atom(atom, ids)

    def aval(self, aval: Any) -> None:
        shape = getattr(aval, "shape", ())
        self.parts.append((len(shape), getattr(aval, "dtype", None) or str(aval)))
        self.sizes += range(len(self.numbers), len(self.numbers) + len(shape))
        self.numbers += shape

    def atom(self, atom: Any, ids: dict[Any, int]) -> None:
        if isinstance(atom, Literal):
            self.parts.append(("literal", atom.aval.shape, atom.aval.dtype))  # type: ignore[attr-defined]
            self.value(np.asarray(atom.val).item() if atom.aval.shape == () else atom.val)  # type: ignore[attr-defined]
        else:
            self.parts.append(ids[atom])

    def params(self, params: dict[str, Any]) -> None:
        for name, value in params.items():
            if name not in _UNSAID:
                self.value(value)

    def value(self, value: Any) -> None:
        if type(value) in (int, float) or isinstance(value, np.integer | np.floating):
            self.parts.append("number")
            self.numbers.append(value if type(value) in (int, float) else value.item())
        elif isinstance(value, Jaxpr | ClosedJaxpr):
            self.nested(value)
        elif isinstance(value, tuple | list):
            self.parts.append((type(value), len(value)))
            for one in value:
                self.value(one)
        elif isinstance(value, dict):
            self.parts.append((dict, *map(str, value)))
            for one in value.values():
                self.value(one)
        elif isinstance(value, np.ndarray | jax.Array) and not isinstance(value, jax.core.Tracer):
            array = np.asarray(value)
            self.parts.append((array.shape, str(array.dtype), array.tobytes()))
        else:
            self.parts.append(_Plain(value))

    def nested(self, value: Any) -> None:
        found = self.known.get(id(value))
        if found is None:
            before = self.parts, self.numbers, self.sizes
            self.parts, self.numbers, self.sizes = [], [], []
            self.jaxpr(value.jaxpr if isinstance(value, ClosedJaxpr) else value)
            for constant in getattr(value, "consts", ()):
                self.value(constant)
            found = self.known[id(value)] = value, self.parts, self.numbers, self.sizes
            self.parts, self.numbers, self.sizes = before
        self.parts += found[1]
        self.sizes += [len(self.numbers) + i for i in found[3]]
        self.numbers += found[2]


# where something ends, which is told by where it begins and by the size of the result, and may be one of two numbers at a stride
_ENDS = {
    "slice": "limit_indices", "pad": "padding_config", "flambeau_convolution": "high", "flambeau_convolution_input": "high",
    "flambeau_convolution_weight": "high",
}  # fmt: skip


def _told(equation: Any) -> dict[str, Any]:
    """What an equation's parameters say beside its shapes: two numbers that say the same thing could be taken for a third one."""
    name = _ENDS.get(equation.primitive.name)
    if name is None:
        return equation.params  # type: ignore[no-any-return]
    made = {k: v for k, v in equation.params.items() if k != name}
    if name == "padding_config":
        made[name] = tuple((low, inner) for low, _, inner in equation.params[name])
    return made


class _Plain:
    """A setting that is no number: equal to an equal one, whatever its `==` gives."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Plain):
            return False
        if self.value is other.value:
            return True
        equal = self.value == other.value
        return equal is True and type(self.value) is type(other.value)

    __hash__ = None  # type: ignore[assignment]
