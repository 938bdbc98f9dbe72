"""Operators that are one call of a kernel where they are called alone: on the CPU, for float32 and float64."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...core.array.by_numpy import Refused
from ...core.dispatch.numpy_forms import KernelForm
from ...native.alone import Alone

_SOFTMAX, _SOFTMAX_BACK = Alone("flambeau_softmax"), Alone("flambeau_softmax_back")
_ENTROPY, _ENTROPY_BACK = Alone("flambeau_entropy"), Alone("flambeau_entropy_back")
_NORM, _NORM_BACK = Alone("flambeau_layer_norm"), Alone("flambeau_layer_norm_back")
_REDUCTIONS = ("none", "mean", "sum")  # in the kernel's order


def _demand(kernel: Alone, array: Any, *others: Any) -> None:
    """Raises Refused unless the kernel takes this array, with others of its dtype."""
    if not array.ndim or not array.size or any(other.dtype != array.dtype for other in others):
        raise Refused("another kind of array")
    if not kernel.serves(array.dtype):
        raise Refused("no kernel")


def _around(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


# ---------------------------------------------------------------- softmax


def _axis(input: Any, dim: Any, dtype: Any) -> int:
    if (dtype is not None and dtype != input.dtype) or not isinstance(dim, int) or not -input.ndim <= dim < input.ndim:
        raise Refused("an error, or a cast")
    return dim % input.ndim


def _softmax_form(logarithm: bool) -> KernelForm:
    def call(input: Any, dim: int, dtype: Any = None) -> Any:
        _demand(_SOFTMAX, input)
        sizes = _around(input.shape, _axis(input, dim, dtype))
        return _SOFTMAX([input], [(input.shape, input.dtype)], *sizes, logarithm)[0]

    def back(wanted: Any, gradient: Any, input: Any, dim: int, dtype: Any = None) -> Any:
        _demand(_SOFTMAX_BACK, input, gradient)
        sizes = _around(input.shape, _axis(input, dim, dtype))
        return _SOFTMAX_BACK([input, gradient], [(input.shape, input.dtype)], *sizes, logarithm)

    return KernelForm(call, back)


SOFTMAX, LOG_SOFTMAX = _softmax_form(False), _softmax_form(True)


# ---------------------------------------------------------------- cross entropy


def _classes(input: Any, target: Any, weight: Any, smoothing: Any) -> tuple[list[Any], tuple[int, int, int]]:
    """The arrays that the kernels take, and the sizes before the classes, of them and behind them."""
    axis = 1 if input.ndim > 1 else 0
    others = () if weight is None else (weight,)
    _demand(_ENTROPY, input, *others)
    outer, classes, inner = _around(input.shape, axis)
    one_of_many = input.ndim == 1 and target.shape in ((), (1,))
    if target.dtype != np.int64 or not (one_of_many or target.shape == input.shape[:1] + input.shape[2:]):
        raise Refused("no classes")
    if target.shape == input.shape or any(w.shape != (classes,) for w in others):
        raise Refused("an error, or probabilities")
    if type(smoothing) not in (int, float) or smoothing:
        raise Refused("smoothing")
    return [input, target, *others], (outer, classes, inner)


def _settings(weight: Any, ignore_index: Any, reduction: str) -> tuple[int, int, int]:
    if type(ignore_index) is not int or reduction not in _REDUCTIONS or not -(1 << 63) <= ignore_index < 1 << 63:
        raise Refused("another kind of setting")
    return int(weight is not None), ignore_index, _REDUCTIONS.index(reduction)


def _entropy(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float = 0.0) -> Any:
    arrays, sizes = _classes(input, target, weight, smoothing)
    shape = target.shape if reduction == "none" and input.ndim > 1 else ()
    return _ENTROPY(arrays, [(shape, input.dtype)], *sizes, *_settings(weight, ignore_index, reduction))[0]


def _entropy_back(
    wanted: Any, gradient: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str,
    smoothing: float = 0.0,
) -> Any:  # fmt: skip
    if wanted != (0,) or gradient.dtype != input.dtype:
        raise Refused("another gradient")
    arrays, sizes = _classes(input, target, weight, smoothing)
    settings = _settings(weight, ignore_index, reduction)
    return _ENTROPY_BACK([*arrays, gradient], [(input.shape, input.dtype)], *sizes, *settings)


ENTROPY = KernelForm(_entropy, _entropy_back)


# ---------------------------------------------------------------- layer normalization


def _norm(kernel: Alone, input: Any, normalized_shape: Any, *others: Any) -> tuple[int, int]:
    """How many rows there are, and how long they are."""
    if not isinstance(normalized_shape, (tuple, list)) or not all(type(n) is int for n in normalized_shape):
        raise Refused("an error")
    shape = tuple(normalized_shape)
    _demand(kernel, input, *others)
    if not shape or input.shape[input.ndim - len(shape) :] != shape or any(other.shape != shape for other in others):
        raise Refused("an error")
    length = math.prod(shape)
    return input.size // length, length


def _eps(eps: Any, input: Any) -> Any:
    return np.asarray(eps, input.dtype) if isinstance(input, np.ndarray) else jnp.asarray(eps, input.dtype)


def _there(*arrays: Any) -> list[Any]:
    return [array for array in arrays if array is not None]


def _layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    sizes = _norm(_NORM, input, normalized_shape, *_there(weight, bias))
    arrays = [_eps(eps, input), input, *_there(weight, bias)]
    return _NORM(arrays, [(input.shape, input.dtype)], *sizes, weight is not None, bias is not None)[0]


def _layer_norm_back(
    wanted: Any, gradient: Any, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5
) -> Any:
    sizes = _norm(_NORM_BACK, input, normalized_shape, *_there(weight, bias))
    given = [(i, array) for i, array in enumerate((input, weight, bias)) if array is not None]
    if gradient.dtype != input.dtype or any(i >= len(given) for i in wanted):
        raise Refused("another gradient")
    if list(wanted) != sorted(wanted):
        raise Refused("another order")
    asked = [given[i] for i in wanted]
    arrays = [_eps(eps, input), input, gradient, *_there(weight)]
    results = [(array.shape, array.dtype) for _, array in asked]
    return _NORM_BACK(arrays, results, *sizes, weight is not None, sum(1 << i for i, _ in asked))


LAYER_NORM = KernelForm(_layer_norm, _layer_norm_back)
