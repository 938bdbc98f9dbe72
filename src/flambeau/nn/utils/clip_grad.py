"""Clipping of gradients: one XLA program for all of them."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes, programs
from ...core.array.meta import with_shapes
from ...core.context.overrides import dispatching
from ...core.dispatch.errors import described
from ...core.dispatch.host_numbers import HostNumber, takes_numbers
from ...core.tensor.tensor import Tensor, wrap
from ...ops.linalg.names import norm as norm_of
from ...ops.shape.joining import stack

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

_Tensors = Tensor | Iterable[Tensor]


def _norm(x: Any, p: float) -> Any:
    """The p-norm of all elements; the sum is made in float32 at least."""
    size = jnp.abs(x)
    if size.size == 0:
        return jnp.zeros((), size.dtype)
    if p == float("inf"):
        return size.max()
    if p == -float("inf"):
        return size.min()
    wide = size.astype(jnp.promote_types(size.dtype, np.float32))
    if p == 0:
        norm = (wide != 0).sum().astype(wide.dtype)
    elif p == 2:
        norm = jnp.sqrt(jnp.square(wide).sum())
    else:
        norm = jnp.power(jnp.power(wide, p).sum(), 1 / p)
    return norm.astype(size.dtype)


@with_shapes
@functools.partial(programs.jit, quickly=False, static_argnames=("p", "dtype"))
def _total_norm(arrays: tuple[Any, ...], p: float, dtype: np.dtype) -> Any:
    return _norm(jnp.stack([_norm(a, p).astype(dtype) for a in arrays]), p)


@with_shapes
@functools.partial(programs.jit, quickly=False)
def _scaled(arrays: tuple[Any, ...], max_norm: Any, total: Any) -> tuple[Any, ...]:
    factor = jnp.minimum(max_norm / (total + 1e-6), 1.0)  # a NaN stays one
    return tuple((a * factor).astype(a.dtype) for a in arrays)


@with_shapes
@functools.partial(programs.jit, quickly=False)
def _clipped(arrays: tuple[Any, ...], limit: Any) -> tuple[Any, ...]:
    return tuple(jnp.clip(a, -limit.astype(a.dtype), limit.astype(a.dtype)) for a in arrays)


def _listed(tensors: _Tensors, warn: bool = False) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    found = list(tensors)
    if warn and not found and isinstance(tensors, types.GeneratorType):
        what = type(tensors).__name__
        warnings.warn(f"`parameters` is an empty {what}, no gradient clipping will occur.", stacklevel=3)
    return found


def _gradients(parameters: _Tensors, warn: bool = False) -> list[Tensor]:
    return [p.grad for p in _listed(parameters, warn) if p.grad is not None]


def _arrays(tensors: list[Tensor]) -> tuple[Any, ...]:
    return tuple(t._array for t in tensors)


def _run(program: Any, name: str, tensors: list[Tensor], *rest: Any) -> Any:
    """What a program makes of the tensors' values. RuntimeError for tensors that do not lie on one device or mesh."""
    arrays = _arrays(tensors)
    try:
        return program(arrays, *rest)
    except ValueError as error:
        raise described(error, list(arrays), name, False) from error


def _overwrite(tensors: list[Tensor], arrays: tuple[Any, ...]) -> None:
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor._write(array)


def _limit(number: Any, dtype: np.dtype) -> Any:
    """A bound as an array; one that a compiled program takes as an input, as a traced one."""
    if isinstance(number, HostNumber):
        return number.as_input().astype(dtype)
    return np.asarray(float(number), dtype)


def get_total_norm(
    tensors: _Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all elements together: the `norm_type`-norm of the tensors' own norms, 0-dim. 0 if there are none.

    RuntimeError for integers, and, with `error_if_nonfinite`, for an infinite or NaN norm. `foreach` has no effect.
    """
    tensors, norm_type = _listed(tensors), float(norm_type)
    if not tensors:
        return wrap(jnp.zeros((), dtypes.get_default_dtype().numpy))
    for tensor in tensors:
        if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
            raise RuntimeError(f"Expected a floating point or complex tensor as input. Got {tensor.dtype}")
    kinds = [np.dtype(f"f{d.itemsize // 2}") if d.kind == "c" else d for d in (t._np_dtype for t in tensors)]
    common = functools.reduce(dtypes.promote_types, map(dtypes.from_numpy, kinds)).numpy
    if not dispatching.isdisjoint(map(type, tensors)):  # which see operators
        return norm_of(stack([norm_of(t, norm_type) for t in tensors]), norm_type)
    norm = _run(_total_norm, "_foreach_norm", tensors, norm_type, common)
    if error_if_nonfinite and not np.isfinite(np.asarray(norm, np.float64)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, "
            "set `error_if_nonfinite=False`"
        )
    return wrap(norm)


@takes_numbers(1, "max_norm")
def clip_grads_with_norm_(
    parameters: _Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients in place by max_norm / (total_norm + 1e-6), if that is less than 1."""
    gradients = _gradients(parameters)
    if not dispatching.isdisjoint(map(type, gradients)):
        for gradient in gradients:
            gradient.mul_((max_norm / (total_norm + 1e-6)).clamp(max=1.0))
    elif gradients:
        total = total_norm._array
        _overwrite(gradients, _run(_scaled, "_foreach_mul_", gradients, _limit(max_norm, total.dtype), total))


@takes_numbers(1, "max_norm")
def clip_grad_norm_(
    parameters: _Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale all gradients in place so that their total norm is at most `max_norm`; returns the norm they had.

    RuntimeError, with `error_if_nonfinite`, if that norm is infinite or NaN.
    """
    found = _listed(parameters, warn=True)
    _limit(max_norm, np.dtype(np.float64))  # what is no number is refused without gradients, too
    total = get_total_norm(_gradients(found), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(found, max_norm, total)
    return total


@takes_numbers(1, "max_norm")
def clip_grad_norm(
    parameters: _Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """The old name of `clip_grad_norm_`."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@takes_numbers(1, "clip_value")
def clip_grad_value_(parameters: _Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp all elements of all gradients in place to [-clip_value, clip_value]. RuntimeError if there is none."""
    gradients, limit = _gradients(parameters), _limit(clip_value, np.dtype(np.float64))
    if not gradients:
        raise RuntimeError(
            "Expected !nested_tensorlist[0].empty() to be true, but got false. (There is no gradient to clip: is "
            "clip_grad_value_ called before backward()?)"
        )
    _overwrite(gradients, _run(_clipped, "_foreach_clamp_", gradients, limit))
