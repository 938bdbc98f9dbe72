"""What all families share: broadcasting of parameters, probabilities and logits, properties computed once, triangles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import update_wrapper
from numbers import Number
from typing import Any, Generic, TypeVar, overload

from ..core.array.dtypes import finfo, get_default_dtype
from ..core.array.size import Size
from ..core.context.grad_mode import enable_grad
from ..core.tensor.tensor import Tensor
from ._asking import broadcast_tensors, randn, softmax, tensor, tril_indices, zeros

T = TypeVar("T", contravariant=True)
R = TypeVar("R", covariant=True)

EMPTY = Size()
euler_constant: float = 0.57721566490153286060  # Euler Mascheroni Constant

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "euler_constant",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]


def _is_value(value: Any) -> bool:
    return isinstance(value, (Number, Tensor)) or hasattr(value, "__torch_function__")


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors of one shape. Numbers take dtype and device of the first tensor, or the default dtype if there is none.

    Raises ValueError for what is neither a number nor a tensor.
    """
    if not all(_is_value(value) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    first = next((value for value in values if isinstance(value, Tensor) or not isinstance(value, Number)), None)
    dtype, device = (get_default_dtype(), None) if first is None else (first.dtype, first.device)
    made = [tensor(value, dtype=dtype, device=device) if isinstance(value, Number) else value for value in values]
    return tuple(broadcast_tensors(*made))


def _standard_normal(shape: Sequence[int], dtype: Any, device: Any) -> Tensor:
    return randn(tuple(shape), dtype=dtype, device=device)


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """The sum over the last `dim` dimensions."""
    if dim == 0:
        return value
    return value.reshape(*value.shape[: value.ndim - dim], -1).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from log-odds (`is_binary`), or from unnormalized log-probabilities along the last dimension."""
    return logits.sigmoid() if is_binary else softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1 by the dtype's `eps`, so that their logarithms are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log-odds of probabilities (`is_binary`), or their logarithms."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


class lazy_property(Generic[T, R]):
    """A property that is computed, with gradients, when it is first asked for, and then is an attribute of the object."""

    def __init__(self, wrapped: Callable[[T], R]) -> None:
        self.wrapped: Callable[[T], R] = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, obj_type: Any = None) -> _lazy_property_and_property[T, R]: ...

    @overload
    def __get__(self, instance: T, obj_type: Any = None) -> R: ...

    def __get__(self, instance: T | None, obj_type: Any = None) -> R | _lazy_property_and_property[T, R]:
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property[T, R], property):
    """What a class shows of a lazy property: to documentation tools it is a property like any other."""

    def __init__(self, wrapped: Callable[[T], R]) -> None:
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below the diagonal number `diag` of (..., D, D) matrices, row by row, as vectors."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {mat.shape[-1] - 1}].")
    rows, columns = tril_indices(n, n, diag, device=mat.device)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """(..., D, D) matrices whose elements on and below the diagonal number `diag` come from vectors, row by row."""
    length, shift = vec.shape[-1], 1 + 2 * diag
    n = (-shift + math.sqrt(shift**2 + 8 * length + 4 * abs(diag) * (diag + 1))) / 2
    if round(n) - n > finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {length} which cannot be expressed as the lower triangular part of a "
            "square D x D matrix."
        )
    size = round(n)
    rows, columns = tril_indices(size, size, diag, device=vec.device)
    made = zeros((*vec.shape[:-1], size, size), dtype=vec.dtype, device=vec.device)
    made[..., rows, columns] = vec
    return made
