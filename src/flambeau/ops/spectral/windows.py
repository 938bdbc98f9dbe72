"""Window functions of signal processing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array.dtypes import as_dtype, get_default_dtype
from ...core.dispatch.operator import composite
from ...core.tensor.tensor import Tensor
from ..making.constants import check_options
from ..making.creation import deliver


def _made(
    name: str, length: int, periodic: bool, shape: Callable[[np.ndarray], np.ndarray], dtype: Any, layout: Any, device: Any,
    requires_grad: bool, pin_memory: bool,
) -> Tensor:  # fmt: skip
    """A window of `length` points of `shape`, a function on [-1, 1]; a periodic one lacks its last point."""
    target = as_dtype(dtype) or get_default_dtype()
    check_options(name, layout, pin_memory)
    if not target.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {target}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")

    def fill(dtype: np.dtype) -> np.ndarray:
        if length < 2:
            return np.ones(length, dtype)
        places = np.linspace(-1.0, 1.0, length + 1 if periodic else length)
        wide = dtype if dtype.itemsize > 2 else np.dtype(np.float32)
        return shape(places.astype(wide))[:length].astype(dtype)

    return deliver(fill, target, target, device, requires_grad)


def _cosines(*weights: float) -> Callable[[np.ndarray], np.ndarray]:
    """A sum of cosines, `weights[k] * cos(k * pi * x)`, the constant added last."""
    order = [*list(enumerate(weights))[1:], (0, weights[0])]
    return lambda x: sum(w * np.cos(k * np.pi * x) for k, w in order)  # type: ignore[return-value]


@composite(methods=False)
def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A raised cosine that falls to 0."""
    return _made(
        "hann_window", window_length, periodic, _cosines(0.5, 0.5), dtype, layout, device, requires_grad, pin_memory
    )


@composite(methods=False)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A raised cosine, `alpha + beta * cos(pi * x)`."""
    return _made(
        "hamming_window",
        window_length,
        periodic,
        _cosines(alpha, beta),
        dtype,
        layout,
        device,
        requires_grad,
        pin_memory,
    )


@composite(methods=False)
def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A sum of a constant and two cosines."""
    return _made(
        "blackman_window",
        window_length,
        periodic,
        _cosines(0.42, 0.5, 0.08),
        dtype,
        layout,
        device,
        requires_grad,
        pin_memory,
    )


@composite(methods=False)
def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A triangle."""
    return _made(
        "bartlett_window",
        window_length,
        periodic,
        lambda x: 1 - np.abs(x),
        dtype,
        layout,
        device,
        requires_grad,
        pin_memory,
    )


@composite(methods=False)
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """A Bessel function of the distance from the middle; `beta` says how narrow it is."""

    def shape(x: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):  # beyond some 88 a float32 has no room for it
            return np.i0(beta * np.sqrt(1 - x**2)) / np.i0(x.dtype.type(beta))

    return _made("kaiser_window", window_length, periodic, shape, dtype, layout, device, requires_grad, pin_memory)
