"""Calls of kernels on images that lie channels-last, without XLA: each is made for the shapes of its arguments (see `direct.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from . import expect
from .direct import Call, Run, flat, number, one, pixels, plain, possible
from .elementwise import Instruction, assembled

__all__ = [
    "added",
    "batch_norm",
    "batch_norm_by",
    "batch_norm_gradient",
    "joined",
    "relu",
    "relu_gradient",
    "taken_apart",
]

_JOIN, _APART = "flambeau_join", "flambeau_take_apart"
_NORM, _GRADIENT, _NORM_BY = "flambeau_batch_norm", "flambeau_batch_norm_gradient", "flambeau_batch_norm_by"
expect(_NORM, _GRADIENT, _NORM_BY, _JOIN, _APART)


def _elementwise(shape: Sequence[int], count: int, code: Sequence[Instruction], scalars: Sequence[float]) -> Run | None:
    """One result of so many images of this shape; the registers are these, the scalars, the result and temporaries."""
    if not possible("flambeau_elementwise"):
        return None
    program = assembled(code)
    numbers = jax.device_put(np.array(scalars or [0.0], np.float32))
    call = Call(
        "flambeau_elementwise",
        [*[flat(shape)] * count, plain(numbers.shape)],
        [flat(shape)],
        program=program,
        temporaries=np.int64(len(code)),
        members=np.int64(1),
    )
    return lambda *arrays: call(*arrays, numbers)[0]


def added(arrays: Sequence[Any], turned: Sequence[bool]) -> Run | None:
    """The sum of two images of one shape."""
    a, b = arrays
    if not all(turned) or a.shape != b.shape or not a.dtype == b.dtype == np.float32 or not a.size:
        return None
    return _elementwise(a.shape, 2, [Instruction("add", 3, (0, 1))], ())


def relu(shape: Sequence[int]) -> Run | None:
    """0 where it is not positive."""
    code = [Instruction("le", 3, (0, 1)), Instruction("select_n", 2, (3, 0, 1))]
    return _elementwise(shape, 1, code, [0.0])


def relu_gradient(shape: Sequence[int]) -> Run | None:
    """Of (the images, the gradient by the result)."""
    code = [Instruction("le", 4, (0, 2)), Instruction("select_n", 3, (4, 1, 2))]
    return _elementwise(shape, 2, code, [0.0])


def joined(shapes: Sequence[Sequence[int]]) -> Run | None:
    """Images one after the other along the channels."""
    if not possible(_JOIN):
        return None
    first = shapes[0]
    whole = (first[0], sum(shape[1] for shape in shapes), *first[2:])
    return one(Call(_JOIN, [pixels(shape) for shape in shapes], [pixels(whole)]))


def taken_apart(shapes: Sequence[Sequence[int]], whole: Sequence[int]) -> Callable[..., list[Any]] | None:
    """The reverse of `joined`."""
    if not possible(_APART):
        return None
    return Call(_APART, [pixels(whole)], [pixels(shape) for shape in shapes])


def batch_norm(shape: Sequence[int], momentum: Any, eps: Any) -> Callable[..., list[Any]] | None:
    """Of (images, running mean and variance, weight, bias, momentum, eps): the images normalized, both statistics anew."""
    if not possible(_NORM):
        return None
    x, each = pixels(shape), plain(shape[1:2])
    return Call(_NORM, [x, each, each, each, each, number(momentum), number(eps)], [x, each, each])


def batch_norm_gradient(shape: Sequence[int], eps: Any) -> Callable[..., list[Any]] | None:
    """Of (images, weight, eps, the gradient by the result): the gradients by images, weight and bias."""
    if not possible(_GRADIENT):
        return None
    x, each = pixels(shape), plain(shape[1:2])
    return Call(_GRADIENT, [x, each, number(eps), x], [x, each, each])


def batch_norm_by(shape: Sequence[int], eps: Any) -> Run | None:
    """Of (images, mean, variance, weight, bias, eps): the images normalized by these."""
    if not possible(_NORM_BY):
        return None
    x, each = pixels(shape), plain(shape[1:2])
    return one(Call(_NORM_BY, [x, each, each, each, each, number(eps)], [x]))
