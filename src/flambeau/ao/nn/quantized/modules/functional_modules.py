"""Arithmetic as a module, which quantization would replace by arithmetic of whole numbers."""

from __future__ import annotations

from typing import Any, NoReturn

from .....core.dispatch.operator import namespaces
from .....core.tensor.tensor import Tensor
from .....nn.modules.module import Module
from .....ops.shape.joining import cat as _cat

__all__ = ["FXFloatFunctional", "FloatFunctional"]


_torch = namespaces["torch"]


class _Arithmetic(Module):
    def _observed(self, result: Tensor) -> Tensor:
        return result

    def forward(self, x: Any) -> NoReturn:
        """RuntimeError: one of the methods is to be called."""
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """`x + y`."""
        return self._observed(x + y)

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """`x + y` for a number."""
        return x + y

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """`x * y`."""
        return self._observed(x * y)

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """`x * y` for a number."""
        return x * y

    def cat(self, x: list[Tensor], dim: int = 0) -> Tensor:
        """The tensors one after the other."""
        return self._observed(_cat(x, dim=dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """`relu(x + y)`."""
        return self._observed((x + y).relu())

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """`x @ y`."""
        return self._observed(x @ y)


class FXFloatFunctional(_Arithmetic):
    """Sums, products and concatenations as methods of a module, which nobody observes."""


class FloatFunctional(_Arithmetic):
    """Sums, products and concatenations as methods of a module, so that each has its place in a model.

    `activation_post_process` sees every result; it gives it back as it is until something else is put there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process: _Identity = _Identity()

    def _observed(self, result: Tensor) -> Tensor:
        return self.activation_post_process(result)  # type: ignore[no-any-return]


class _Identity(Module):
    """Its input."""

    def forward(self, x: Any) -> Any:
        return x


_Identity.__name__ = _Identity.__qualname__ = "Identity"
