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


class ByNumPy:
    """A form for the static arguments of one program: a function of its arrays."""

    __slots__ = ("form", "key", "signature")

    def __init__(self, form: NumPyForm, signature: Signature, key: Any):
        self.form: NumPyForm = form
        self.signature: Signature = signature
        self.key: Any = key

    def __call__(self, *flat: Any) -> Any:
        return self.form.call(*unpack(self.signature, self.key, flat)[0])

    def derivative(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Callable[..., tuple[Any, ...]]:
        """The same for the gradients of the arrays `wanted`."""

        def pull(*flat: Any) -> tuple[Any, ...]:
            if given != (0,):
                raise Refused("no gradient")
            return self.form.derivative(wanted, flat[-1], *unpack(self.signature, self.key, flat[:-1])[0])

        return pull
