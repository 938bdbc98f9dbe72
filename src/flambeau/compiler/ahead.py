"""Checks that a call makes ahead of its program: of indices that the program is given, not of those that it computes.

In the program a check costs one more result and waiting for it, which a small step feels. What XLA gets is at hand before, and
the native library looks through it in less than a microsecond; nothing has run or changed then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax._src.array import ArrayImpl

from ..core.context.tracing import Refusal
from ..core.dispatch.checks import Look, Range
from ..native import reading

# Of these the results hold nothing but numbers that their one operand holds.
_MOVES = frozenset(
    ("broadcast_in_dim", "copy", "copy_p", "expand_dims", "reshape", "rev", "slice", "squeeze", "transpose")
)
_CALLS = frozenset(("jit", "pjit"))
_DTYPES = frozenset(map(np.dtype, (np.int64, np.int32, np.int16, np.int8, np.uint8)))

Steps = list[tuple[Any, dict[str, Any]]]


class Ahead(NamedTuple):
    """One such check: what a program is given, and what comes of it is to be in a range."""

    given: Any  # the number of the input, of arguments and then of state; in the trace what names it there
    steps: Steps  # the operations on the way to the indices
    look: Look
    range: Range
    refusal: Refusal
    draws: int  # how many of the program's random draws come before it

    def failure(self, array: Any) -> Exception | None:
        """The error for this input, as exactly as in a program."""
        for primitive, params in self.steps:
            array = primitive.bind(array, **params)
        bad, value = self.look(np.asarray(array))
        return self.refusal.error_of(int(np.broadcast_to(value, bad.shape)[bad].flat[0])) if bad.any() else None


class Origins:
    """The inputs of a trace whose values are in the CPU's memory at each call, by the traced values that stand for them."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, Any]] = {}  # id of the traced value -> (it, what names the input)

    def add(self, traced: Any, array: Any, name: Any) -> None:
        if isinstance(array, ArrayImpl) and array.dtype in _DTYPES and reading.functions.for_programs() is not None:
            device = getattr(array.sharding, "_device", None)
            if device is not None and device.platform == "cpu":
                self.known[id(traced)] = traced, name

    def of(self, traced: Any) -> tuple[Any, Steps] | None:
        """The input whose numbers these are, all or some of them, and the operations in between."""
        steps: Steps = []
        while id(traced) not in self.known:
            equation = getattr(traced, "parent", None)
            if equation is None:
                return None
            place = _back(equation, equation.params, 0, steps)
            if place is None:
                return None
            traced = equation.in_tracers[place]
        return self.known[id(traced)][1], steps[::-1]


def _back(equation: Any, params: dict[str, Any], output: int, steps: Steps) -> int | None:
    """The number of the operand whose numbers a result has; the operations are added to `steps`, the last one first."""
    name = equation.primitive.name
    if name in _CALLS:
        return _back_through(params["jaxpr"].jaxpr, output, steps)
    if name == "convert_element_type":
        operand = (equation.invars if hasattr(equation, "invars") else equation.in_tracers)[0]
        before, after = operand.aval.dtype, params["new_dtype"]
        if not np.can_cast(before, after, "safe") or np.dtype(after).kind not in "iu":
            return None
    elif name not in _MOVES:
        return None
    steps.append((equation.primitive, params))
    return 0


def _back_through(jaxpr: Any, output: int, steps: Steps) -> int | None:
    made = {variable: (equation, i) for equation in jaxpr.eqns for i, variable in enumerate(equation.outvars)}
    inputs = {variable: i for i, variable in enumerate(jaxpr.invars)}
    variable: Any = jaxpr.outvars[output]
    while variable not in inputs:
        if variable not in made:
            return None
        equation, i = made[variable]
        place = _back(equation, equation.params, i, steps)
        if place is None:
            return None
        variable = equation.invars[place]
    return inputs[variable]


def looks(checks: list[Ahead], place: Callable[[int], int], in_numpy: list[int]) -> tuple[int, ...]:
    """What the native library looks at, each once. `place` is where an input of this number is in a call's list; `in_numpy` are
    the inputs whose memory of NumPy's is handed over, too, in this order.
    """
    found: dict[tuple[int, ...], None] = {}
    for check in checks:
        low, high, ignored = check.range
        memory = in_numpy.index(check.given) if check.given in in_numpy else -1
        found[place(check.given), low, high, low if ignored is None else ignored, memory] = None
    return tuple(number for look in found for number in look)
