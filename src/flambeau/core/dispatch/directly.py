"""What a declaration says of how to compute a call, or its gradient, by calling kernels without a program of XLA.

A form is a pair of functions of a `Given` (the second one of which arguments' gradients are wanted, too). They give a function
of the arrays, or None where a program has to do it. They are asked once for the shapes of a call in which images are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...native.direct import Run
from .signature import Signature, unpack


class At(int):
    """Where an argument lies among a call's arrays."""


@dataclass(frozen=True)
class Given:
    """A call's arguments, by the names of the operator's: static values, and where the arrays lie (`At`)."""

    values: dict[str, Any]
    arrays: Sequence[Any]
    turned: tuple[bool, ...]
    cotangents: Sequence[At] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def is_array(self, name: str) -> bool:
        """Whether an argument is dynamic."""
        return type(self.values[name]) is At

    def images(self, *places: Any) -> bool:
        """Whether these are all images of 32 bits that lie channels-last, and not empty."""
        return all(
            type(i) is At and self.turned[i] and self.arrays[i].dtype == np.float32 and self.arrays[i].size
            for i in places
        )

    def channelwise(self, count: int, *places: Any) -> bool:
        """Whether these are all arrays of 32 bits with a number for each of so many channels."""
        return all(
            type(i) is At and self.arrays[i].shape == (count,) and self.arrays[i].dtype == np.float32 for i in places
        )


class Form(NamedTuple):
    call: Callable[[Given], Run | None]
    derivative: Callable[[Given, tuple[int, ...]], Run | None] | None = None


class Direct:
    """A form for the static arguments of one program."""

    def __init__(self, form: Form, signature: Signature, key: Any):
        self.form: Form = form
        self.signature: Signature = signature
        self.key: Any = key

    def _given(self, arrays: Sequence[Any], turned: tuple[bool, ...], cotangents: int) -> Given:
        count = len(arrays) - cotangents
        values, *_ = unpack(self.signature, self.key, tuple(map(At, range(count))))
        last = tuple(map(At, range(count, len(arrays))))
        return Given(dict(zip(self.signature.names, values, strict=True)), arrays, turned, last)

    def __call__(self, arrays: Sequence[Any], turned: tuple[bool, ...]) -> Run | None:
        return self.form.call(self._given(arrays, turned, 0))

    def derivative(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> Callable[..., Run | None] | None:
        """The same for the gradients of the arguments `wanted`; None if there is none, or not of these outputs."""
        pull = self.form.derivative
        if pull is None or given != (0,):
            return None
        return lambda arrays, turned: pull(self._given(arrays, turned, 1), wanted)
