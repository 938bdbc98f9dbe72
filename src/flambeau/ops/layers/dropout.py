"""Dropout: one array function for all forms. The masks are those that PyTorch's CPU draws for a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.array import dtypes
from ...core.context.telling import warn
from ...core.dispatch.host_numbers import HostNumber
from ...core.dispatch.misfits import refuse_recorded
from ...core.dispatch.operator import Array, Scalar, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor, wrap
from ..elementwise.arithmetic import mul
from ..making.constants import beside, ones_like
from ..random.factories import refusal
from ..random.masks import mask, mask_like
from ..support.declare import in_place

_SATURATION = 1.7580993408473766  # SELU falls to minus this: scale * alpha


def thinned(input: jax.Array, keep: jax.Array, scale: jax.Array) -> jax.Array:
    """The input times `scale` where it is kept, and times 0 elsewhere."""
    return input * jnp.where(keep, scale, 0.0).astype(input.dtype)


@jax.custom_jvp
def _rounded(x: jax.Array) -> jax.Array:
    """x. XLA would round a product and a sum as one; a selection between them keeps them apart."""
    return jnp.where(x == x, x, jnp.nan)


@_rounded.defjvp
def _rounded_jvp(primals: Any, tangents: Any) -> Any:
    return _rounded(*primals), tangents[0]


@operator(methods=False, public=(), grad="MulBackward0")
def _dropout(input: Array, keep: Array, scale: Scalar) -> Array:
    return thinned(input, keep, scale)  # type: ignore[arg-type]


@operator(methods=False, public=(), grad="AddBackward0")
def _alpha_dropout(input: Array, keep: Array, scale: Scalar, shift: Scalar, fill: Scalar) -> Array:
    return _rounded(thinned(input, keep, scale)) + jnp.where(keep, shift, fill).astype(input.dtype)  # type: ignore[arg-type]


@operator(methods=False, public=(), grad="NativeDropoutBackward0")
def _native_dropout(input: Array, keep: Array, scale: Scalar) -> Array:
    return thinned(input, keep, scale)  # type: ignore[arg-type]


def _working(dtype: np.dtype) -> Any:
    """The type in which PyTorch computes with numbers and tensors of a dtype."""
    return np.float64 if dtype == np.float64 else np.float32


@lru_cache(256)
def scale_of(p: float, dtype: np.dtype) -> float:
    """What is kept is multiplied by this: 1 / (1 - p), rounded as PyTorch's division rounds it."""
    work = _working(dtype)
    return float(dtype.type(work(1) / work(1.0 - p)))


@lru_cache(256)
def _alpha_numbers(p: float, dtype: np.dtype) -> tuple[float, float, float]:
    """What keeps mean 0 and variance 1 of a SELU network (Klambauer et al., 2017): factor, shift, value of the others.

    They are rounded after each step, as PyTorch computes them in tensors of the dtype.
    """
    work = _working(dtype)
    a = 1.0 / math.sqrt((_SATURATION**2 * p + 1.0) * (1.0 - p))
    scale, fall, shift = (dtype.type(work(v)) for v in (a, _SATURATION * a, _SATURATION * a * p))
    return float(scale), float(shift), float(dtype.type(work(shift) - work(fall)))


def _numbers_of(p: Any, alpha: bool, dtype: np.dtype) -> tuple[float, ...]:
    if isinstance(p, HostNumber):
        function, count = (_alpha_numbers, 3) if alpha else (lambda p, dtype: (scale_of(p, dtype),), 1)
        return tuple(p.into(lambda p, i=i: function(p, dtype)[i]) for i in range(count))  # type: ignore[misc]
    return _alpha_numbers(p, dtype) if alpha else (scale_of(p, dtype),)


def _refuse_integers(input: Tensor, signed: bool = False) -> None:
    if input.dtype.category < dtypes.FLOAT:
        found = dtypes.int64 if signed and input.dtype is dtypes.bool else input.dtype
        raise RuntimeError(
            f"result type {dtypes.get_default_dtype().abbr} can't be cast to the desired output type {found.abbr}"
        )


def _checked(name: str, input: Any, share: Any, error: type[Exception]) -> Tensor:
    if share < 0.0 or share > 1.0 or share != share:
        kind = error if share == share else RuntimeError
        raise kind(f"dropout probability has to be between 0 and 1, but got {share}")
    if not isinstance(input, Tensor):
        raise not_a_tensor(name, "input", 1, input)
    return input


def _applied(name: str, input: Any, p: Any, training: bool, inplace: bool, error: type[Exception] = ValueError) -> Any:
    """One of the four forms: of elements or of features (whole channels), with zeros or for SELU."""
    input = _checked(name, input, p, error)
    if isinstance(p, Tensor):
        refuse_recorded(name, "p", 2, p)
    if training is not True and (isinstance(training, (str, float)) or training is None or type(training) is int):
        raise TypeError(f"{name}(): argument 'train' (position 3) must be bool, not {type(training).__name__}")
    if not training or p == 0 or 0 in input.shape:
        return input
    if p == 1:
        return input.mul_(False) if inplace else mul(input, False)  # type: ignore[attr-defined]
    p = p if isinstance(p, HostNumber) else float(p)
    features, alpha = name.startswith("feature"), "alpha" in name
    if features and input.ndim < 2:
        raise RuntimeError(
            f"Feature dropout requires at least 2 dimensions in the input (samples and channels): {list(input.shape)}"
        )
    if input._np_dtype.kind != "f":
        if input.dtype.is_complex:
            raise refusal("bernoulli_scalar_cpu_", input.dtype)
        _refuse_integers(input, signed=alpha)
    if features:
        keep = mask(input, (*input.shape[:2], *(1,) * (input.ndim - 2)), 1.0 - p)
    else:
        keep = mask_like(input, 1.0 - p)
    function = _alpha_dropout if alpha else _dropout
    numbers = _numbers_of(p, alpha, input._np_dtype)
    return (in_place(function) if inplace else function)(input, keep, *numbers)


@composite(methods=False, public=("nn.functional",), numbers=True)
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero each element with probability `p` and divide the others by `1 - p`."""
    return _applied("dropout", input, p, training, inplace)


@composite(methods=False, public=("nn.functional",), numbers=True)
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for SELU networks: keeps mean and variance by setting elements to SELU's lower limit."""
    return _applied("alpha_dropout", input, p, training, inplace)


@composite(methods=False, public=("nn.functional",), numbers=True)
def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels (dimension 1)."""
    return _applied("feature_alpha_dropout", input, p, training, inplace)


def _channel_dropout(n: int) -> Callable:
    name = f"dropout{n}d"

    def form(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        input = _checked("feature_dropout", input, p, ValueError)
        ndim = input.ndim
        if ndim not in (n + 1, n + 2):
            why = (
                f"{name} exists to provide channel-wise dropout on inputs with {n} spatial dimension{'s' * (n > 1)}, a "
                f"channel dimension, and an optional batch dimension (i.e. {n + 1}D or {n + 2}D inputs)."
            )
            if n == 1:
                raise RuntimeError(
                    f"{name}: Expected {n + 1}D or {n + 2}D input, but received a {ndim}D input. Note that {why}"
                )
            warn(
                f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error in a "
                f"future release. To retain the behavior and silence this warning, please use dropout instead. Note "
                f"that {why}"
            )
        if n == 2 and ndim == 3:
            warn(
                f"{name}: Received a 3D input to {name} and assuming that channel-wise 1D dropout behavior is desired "
                "- input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will "
                f"change in a future release to interpret the input as one without a batch dimension, i.e. shape "
                f"(C, H, W). To maintain the 1D channel-wise dropout behavior, please switch to using dropout1d "
                "instead."
            )
        if n != 2 and ndim != n + 2:  # PyTorch's dropout2d takes three dimensions for a batch of channels
            return _applied("feature_dropout", input.unsqueeze(0), p, training, inplace).squeeze(0)
        return _applied("feature_dropout", input, p, training, inplace)

    form.__name__ = form.__qualname__ = name
    form.__doc__ = "In training, zero whole channels with probability `p` and divide the others by `1 - p`."
    return composite(methods=False, public=("nn.functional",), numbers=True)(form)


dropout1d: Callable[..., Tensor] = _channel_dropout(1)
dropout2d: Callable[..., Tensor] = _channel_dropout(2)
dropout3d: Callable[..., Tensor] = _channel_dropout(3)


def _plain(name: str) -> None:
    """torch's own form, which has to be told whether it is training, and the one that works in place."""
    for ending, inplace in (("", False), ("_", True)):

        def form(input: Any, p: float, train: bool, inplace: bool = inplace) -> Any:
            return _applied(name, input, p, train, inplace, RuntimeError)

        form.__name__ = form.__qualname__ = name + ending
        form.__doc__ = f"`nn.functional.{name}`" + (" in place." if inplace else ", told whether it is training.")
        composite(methods=False, numbers=True)(form)


for _name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"):
    _plain(_name)


@composite(methods=False)
def native_dropout(input: Any, p: float, train: bool | None) -> Any:
    """`dropout` and the mask of what it keeps. Draws for any `p` unless `train` is False (None means True)."""
    if not isinstance(input, Tensor):
        raise not_a_tensor("native_dropout", "input", 1, input)
    if 0 in input.shape or train is False:
        keep = ones_like(input, dtype=None if 0 in input.shape else dtypes.bool)._array  # type: ignore[arg-type]
        return _native_dropout(input, keep, 1.0), beside(wrap(keep), input)
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={1.0 - p:g}")
    _refuse_integers(input)
    keep = mask_like(input, 1.0 - p)
    scale = 0.0 if p == 1 else 1.0 / (1.0 - p)
    return _native_dropout(input, keep, scale), beside(wrap(keep), input)
