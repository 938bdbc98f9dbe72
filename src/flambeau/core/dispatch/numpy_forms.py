"""What a declaration says of how NumPy computes a call, or its gradient, where the program for its shapes is not there yet.

Without such a form the first calls are traced (1 ms), to find out what NumPy may compute; and a scatter that adds is left to XLA.
The results have to be those of the program to the bit; `Refused` is raised where they might not be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..array.by_numpy import Refused
from .signature import Signature, unpack


class NumPyForm(NamedTuple):
    """`call` is given the operator's arguments, `derivative` which of the arrays' gradients are wanted, the cotangent, and those."""

    call: Callable[..., Any]
    derivative: Callable[..., tuple[Any, ...]]


class KernelForm(NumPyForm):
    """A form that computes by kernels which take traced arrays, too: called alone, the operator's program is what it makes of those
    (unless it raises `Refused`). In a larger program the operator is its array function, which XLA can join with others."""

    __slots__ = ()


class ByNumPy:
    """A form for the static arguments of one program: a function of its arrays."""

    __slots__ = ("form", "is_program", "key", "signature")

    def __init__(self, form: NumPyForm, signature: Signature, key: Any):
        self.form: NumPyForm = form
        self.signature: Signature = signature
        self.key: Any = key
        self.is_program: bool = isinstance(form, KernelForm)  # see `executables.jit`

    def __call__(self, *flat: Any) -> Any:
        return self.form.call(*unpack(self.signature, self.key, flat)[0])

    def derivative(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Pull:
        """The same for the gradients of the arrays `wanted`."""
        return Pull(self, wanted, given)


class Pull:
    """A form's gradients of the arrays `wanted`, by the results `given`."""

    __slots__ = ("_by", "_given", "_wanted", "is_program")

    def __init__(self, by: ByNumPy, wanted: tuple[int, ...], given: tuple[int, ...]):
        self._by = by
        self._wanted = wanted
        self._given = given
        self.is_program: bool = by.is_program

    def __call__(self, *flat: Any) -> tuple[Any, ...]:
        if self._given != (0,):
            raise Refused("no gradient")
        by = self._by
        return by.form.derivative(self._wanted, flat[-1], *unpack(by.signature, by.key, flat[:-1])[0])
