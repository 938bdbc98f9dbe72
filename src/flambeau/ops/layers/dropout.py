"""Dropout: one array function for all forms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...core.dispatch.operator import Array, Scalar, composite, operator
from ..random.keys import next_key
from ..support.declare import in_place

_SATURATION = -1.7580993408473766  # the value that SELU falls to: -scale * alpha


def dropped(input: jax.Array, key: jax.Array, p: jax.Array, shape: tuple[int, ...], alpha: bool) -> jax.Array:
    """The input with elements left out at random; `p` is no static value, so that a new one needs no new program."""
    p = jnp.asarray(p, jnp.float64)
    # a comparison of random words spares the way through floating point numbers that `bernoulli` takes
    share = jnp.minimum(jnp.round((1.0 - p) * 2.0**32), 2.0**32 - 1)
    keep = jax.random.bits(key, shape, jnp.uint32) < share.astype(jnp.uint32)
    everything = p == 1.0
    if not alpha:
        scale = jnp.where(everything, 0.0, 1.0 / jnp.where(everything, 1.0, 1.0 - p))
        return input * jnp.where(keep, scale, 0.0).astype(input.dtype)
    # what keeps the mean 0 and the variance 1 of a SELU network (Klambauer et al., 2017)
    variance = (1.0 - p) * (1.0 + p * _SATURATION**2)
    a = jnp.where(everything, 0.0, jax.lax.rsqrt(jnp.where(everything, 1.0, variance)))
    b = -a * _SATURATION * p
    kept = jnp.where(keep, a, 0.0).astype(input.dtype)
    filled = jnp.where(keep, b, a * _SATURATION + b).astype(input.dtype)
    return input * kept + filled


@operator(methods=False, public=(), grad="MulBackward0")
def _dropout(input: Array, key: Array, p: Scalar) -> Array:
    return dropped(input, key, p, input.shape, False)


@operator(methods=False, public=(), grad="MulBackward0")
def _feature_dropout(input: Array, key: Array, p: Scalar) -> Array:
    return dropped(input, key, p, _feature_shape(input), False)


@operator(methods=False, public=(), grad="AddBackward0")
def _alpha_dropout(input: Array, key: Array, p: Scalar) -> Array:
    return dropped(input, key, p, input.shape, True)


@operator(methods=False, public=(), grad="AddBackward0")
def _feature_alpha_dropout(input: Array, key: Array, p: Scalar) -> Array:
    return dropped(input, key, p, _feature_shape(input), True)


def _feature_shape(input: jax.Array) -> tuple[int, ...]:
    if input.ndim < 2:
        raise RuntimeError(f"Feature dropout requires at least 2 dimensions in the input, but got {list(input.shape)}")
    return input.shape[:2] + (1,) * (input.ndim - 2)


def _applied(function: Callable, input: Any, p: float, training: bool, inplace: bool) -> Any:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, got {p}")
    if not training or p == 0:
        return input
    return (in_place(function) if inplace else function)(input, next_key(), float(p))


@composite(methods=False, public=("nn.functional",))
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero each element with probability `p` and divide the others by `1 - p`."""
    return _applied(_dropout, input, p, training, inplace)


@composite(methods=False, public=("nn.functional",))
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for SELU networks: keeps mean and variance by setting elements to SELU's lower limit."""
    return _applied(_alpha_dropout, input, p, training, inplace)


@composite(methods=False, public=("nn.functional",))
def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """`alpha_dropout` of whole channels (dimension 1)."""
    return _applied(_feature_alpha_dropout, input, p, training, inplace)


def _channel_dropout(n: int) -> Callable:
    name = f"dropout{n}d"

    def form(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, got {p}")
        ndim = input.ndim
        if ndim not in (n + 1, n + 2):
            text = (
                f"{name}: Expected {n + 1}-D or {n + 2}-D input (channels and {n} spatial dimensions, with or without "
                f"a batch), but received a {ndim}-D input"
            )
            if n == 1 or ndim < 2:
                raise RuntimeError(text)
            warnings.warn(f"{text}; this will be an error, use dropout instead", stacklevel=2)
        if n != 2 and ndim == n + 1:  # PyTorch's dropout2d takes three dimensions for a batch of channels
            return _applied(_feature_dropout, input.unsqueeze(0), p, training, inplace).squeeze(0)
        return _applied(_feature_dropout, input, p, training, inplace)

    form.__name__ = form.__qualname__ = name
    form.__doc__ = "In training, zero whole channels with probability `p` and divide the others by `1 - p`."
    return composite(methods=False, public=("nn.functional",))(form)


dropout1d, dropout2d, dropout3d = map(_channel_dropout, (1, 2, 3))


def _plain(name: str, function: Callable) -> None:
    """torch's own form, which has to be told whether it is training, and the one that works in place."""
    for ending, inplace in (("", False), ("_", True)):

        def form(input: Any, p: float, train: bool, inplace: bool = inplace) -> Any:
            return _applied(function, input, p, train, inplace)

        form.__name__ = form.__qualname__ = name + ending
        form.__doc__ = f"`nn.functional.{name}`" + (" in place." if inplace else ", told whether it is training.")
        composite(methods=False)(form)


for _name, _function in {
    "dropout": _dropout,
    "feature_dropout": _feature_dropout,
    "alpha_dropout": _alpha_dropout,
    "feature_alpha_dropout": _feature_alpha_dropout,
}.items():
    _plain(_name, _function)
