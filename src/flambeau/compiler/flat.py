"""A traced program as one list of operations: calls written out, dead ones dropped, expensive ones computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
          "custom_vjp_call": "call_jaxpr"}  # fmt: skip
_SAME = frozenset(("copy", "copy_p", "stop_gradient"))  # operations that give their operand

# What XLA computes where it is needed, inside of a loop that reads it, rather than to write it down for later
_CHEAP = frozenset(
    "abs add add_any and broadcast_in_dim bitcast_convert_type ceil clamp concatenate convert_element_type div "
    "dynamic_slice dynamic_update_slice eq expand_dims floor ge gt iota is_finite le lt max min mul ne neg not or pad "
    "real rem reshape rev round select_n sign slice split square squeeze sub transpose xor".split()
)


class Operation(NamedTuple):
    """One operation. Values have numbers."""

    equation: Any
    kind: int  # equal for operations that differ only in which values they take, numbers in the program apart
    operands: tuple[int, ...]
    results: tuple[int, ...]


class Flat:
    """The operations of a jaxpr, in order. Values 0 to `inputs` - 1 are its inputs; `constants` are values of the trace, and
    `literals` numbers in it, which are parts of the operations that take them.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.values = inputs  # how many there are
        self.constants: dict[int, Any] = {}
        self.literals: dict[int, Any] = {}
        self.operations: list[Operation] = []
        self.outputs: list[int] = []
        self.avals: dict[int, Any] = {}  # of results and literals
        self._constants: dict[Any, int] = {}
        self._kinds: dict[Any, int] = {}
        self._told: dict[int, tuple[Any, int]] = {}  # of equations that are shared: the equation, its kind
        self._texts: dict[int, tuple[Any, str]] = {}
        self._settings: dict[
            int, tuple[Any, int]
        ] = {}  # of parameters, which copies of an equation share: these, what they say
        self._same: dict[int, int] = {}  # a value -> the first one that is equal to it
        self._known: dict[Any, tuple[int, ...]] = {}

    def constant(self, value: Any) -> int:
        """The number of a value of the trace."""
        found = self._constants.get(id(value))
        if found is None:
            found = self._constants[id(value)] = self._new()
            self.constants[found] = value
        return found

    def write(self, jaxpr: Any, consts: Sequence[int], given: Sequence[int]) -> list[int]:
        """Add a jaxpr's operations; the numbers of its results."""
        numbers: dict[Any, int] = dict(zip(jaxpr.constvars, consts, strict=True))
        numbers.update(zip(jaxpr.invars, given, strict=True))
        for equation in jaxpr.eqns:
            operands = [self._number(atom, numbers) for atom in equation.invars]
            name = equation.primitive.name
            inner = equation.params.get(_CALLS[name]) if name in _CALLS else None
            if inner is not None:
                made: Sequence[int] = self.write(inner.jaxpr, [self.constant(c) for c in inner.consts], operands)
            elif name in _SAME:
                made = operands
            else:
                made = self._add(equation, tuple(operands))
            numbers.update(zip(equation.outvars, made, strict=True))
        return [self._number(atom, numbers) for atom in jaxpr.outvars]

    def _number(self, atom: Any, numbers: dict[Any, int]) -> int:
        if not isinstance(atom, Literal):
            return numbers[atom]
        aval: Any = atom.aval
        key = np.asarray(atom.val).tobytes(), aval.shape, aval.dtype, aval.weak_type
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = self._new()
            self.literals[found] = atom.val
            self.avals[found] = aval
        return found

    def _new(self) -> int:
        self.values += 1
        return self.values - 1

    def _add(self, equation: Any, operands: tuple[int, ...]) -> tuple[int, ...]:
        kind = self._kind(equation, operands)
        key = kind, tuple([self._same.get(n, n) for n in operands])
        known = self._known.get(key)
        if known is not None and equation.primitive.name not in _CHEAP:
            return known
        results = tuple([self._new() for _ in equation.outvars])
        self.avals.update(zip(results, [var.aval for var in equation.outvars], strict=True))
        if known is None:
            self._known[key] = results
        else:
            self._same.update(zip(results, known, strict=True))
        self.operations.append(Operation(equation, kind, operands, results))
        return results

    # --- kinds ------------------------------------------------------------------------------------------------------

    def _kind(self, equation: Any, operands: tuple[int, ...]) -> int:
        """A number for all of an operation but the values that it takes."""
        numbers = tuple([n if n in self.literals else -1 for n in operands])
        return self._kinds.setdefault((self._own_kind(equation), numbers), len(self._kinds))

    def _own_kind(self, equation: Any) -> int:
        found = self._told.get(id(equation))
        if found is None:
            operands = tuple([atom.aval for atom in equation.invars])
            results = tuple([var.aval for var in equation.outvars])
            key = (equation.primitive, self._said(equation.params), operands, results)
            found = self._told[id(equation)] = equation, self._kinds.setdefault(key, len(self._kinds))
        return found[1]

    def _said(self, params: dict[str, Any]) -> int:
        """A number for what parameters say."""
        found = self._settings.get(id(params))
        if found is None:
            key = tuple([(name, self._text(value)) for name, value in params.items()])
            found = self._settings[id(params)] = params, self._kinds.setdefault(key, len(self._kinds))
        return found[1]

    def _text(self, value: Any) -> Any:
        """A parameter as a part of a key: equal for equal programs."""
        if isinstance(value, (ClosedJaxpr, Jaxpr)):
            if id(value) not in self._texts:
                self._texts[id(value)] = value, str(value)
            consts = tuple(map(id, value.consts)) if isinstance(value, ClosedJaxpr) else ()
            return self._texts[id(value)][1], consts
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return type(value), tuple(map(self._text, value))
        if isinstance(value, dict):
            return tuple([(k, self._text(v)) for k, v in value.items()])
        if isinstance(value, np.ndarray):
            return value.shape, value.dtype, value.tobytes()
        try:
            hash(value)
        except TypeError:
            return "object", id(value)
        return type(value), value

    # --- what is needed ---------------------------------------------------------------------------------------------

    def drop_dead(self) -> None:
        """Drop the operations whose results nobody needs."""
        needed = set(self.outputs)
        kept = []
        for operation in reversed(self.operations):
            if not needed.isdisjoint(operation.results):
                needed.update(operation.operands)
                kept.append(operation)
        kept.reverse()
        self.operations = kept
