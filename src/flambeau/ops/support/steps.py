"""Arithmetic that promotes at each step, as expressions of tensors do."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax

from ...core.dispatch.promotion import promoted


class Steps:
    """An array whose sums, differences, products and quotients each have the dtype of their own operands.

    What PyTorch composes of operators is one program here; its integers must overflow where PyTorch's do: small ones
    are multiplied as such, though a later step makes floating point numbers of them.
    """

    __slots__ = ("array",)

    def __init__(self, array: jax.Array):
        self.array = array

    def _with(
        self, other: Any, operation: Callable[[Any, Any], Any], mode: str = "common", swap: bool = False
    ) -> Steps:
        pair = (self.array, other.array if isinstance(other, Steps) else other)
        return Steps(operation(*promoted(pair[::-1] if swap else pair, [0, 1], (), mode)))

    def apply(self, function: Callable[[jax.Array], jax.Array]) -> Steps:
        """The values of a function that makes floating point numbers of integers."""
        return Steps(function(*promoted((self.array,), [0], (), "float")))

    def __neg__(self) -> Steps:
        return Steps(-self.array)

    def __add__(self, other: Any) -> Steps:
        return self._with(other, operator.add)

    def __sub__(self, other: Any) -> Steps:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> Steps:
        return self._with(other, operator.sub, swap=True)

    def __mul__(self, other: Any) -> Steps:
        return self._with(other, operator.mul)

    def __truediv__(self, other: Any) -> Steps:
        return self._with(other, operator.truediv, mode="float")
