"""`nn.functional.pad`: every mode is a table of positions along each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.dispatch.limits import fitting_number, looks_large, overflow
from ...core.dispatch.operator import Array, Scalar, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tensor.tensor import Tensor
from ..support.checks import BOOL, refuse, whole_numbers

_MODES = ("reflect", "replicate", "circular")


def _pairs(pad: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after), the last dimension first."""
    return [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]


def _check_room(input: Any, value: Any) -> None:
    dtype = input._np_dtype
    if isinstance(value, complex) and dtype.kind != "c":
        raise overflow(value, dtype)
    if dtype.kind in "iu" and isinstance(value, (int, float)):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise overflow(value, dtype)
    elif dtype.kind != "b" and looks_large(value):
        fitting_number(value, dtype)


@operator(methods=False, public=(), grad="ConstantPadNdBackward0", narrow=True)
def _constant_pad(input: Array, pad: tuple[int, ...], value: Scalar = 0) -> Array:
    config = [(0, 0, 0)] * input.ndim
    for i, (before, after) in enumerate(_pairs(pad)):
        axis = input.ndim - 1 - i
        config[axis] = (before, after, 0)
        if -min(before, 0) - min(after, 0) > input.shape[axis]:
            raise RuntimeError(
                f"narrow(): length must be non-negative. (padding by {before} and {after} of dimension {axis} with "
                f"{input.shape[axis]} elements)"
            )
    filled = jnp.asarray(value, input.dtype)
    axes = [axis for axis, (before, after, _) in enumerate(config) if before or after]
    if len(axes) == 1 and min(config[axes[0]]) >= 0:  # XLA's CPU code copies runs here; a pad asks for each element
        (axis,) = axes
        sizes = [(*input.shape[:axis], n, *input.shape[axis + 1 :]) for n in config[axis][:2]]
        ahead, behind = (jnp.broadcast_to(filled, size) for size in sizes)
        return lax.concatenate([ahead, input, behind], axis)
    return lax.pad(input, filled, config)


def _positions(size: int, before: int, after: int, mode: str) -> np.ndarray:
    wanted = np.arange(-before, size + after)
    if mode == "replicate":
        return wanted.clip(0, size - 1)
    if mode == "circular":  # what is cropped does not come back from the other side
        first, length = max(-before, 0), size - max(-before, 0) - max(-after, 0)
        return first + np.arange(-max(before, 0), length + max(after, 0)) % max(length, 1)
    return size - 1 - np.abs(size - 1 - np.abs(wanted))


def _padded(input: jax.Array, pad: Sequence[int], mode: str) -> jax.Array:
    if mode != "circular":
        name = "reflection" if mode == "reflect" else "replication"
        refuse(f"{name}_pad{len(pad) // 2}d", input, BOOL)
    shape = list(input.shape)  # what errors tell of
    for i, (before, after) in enumerate(_pairs(pad)):
        axis = input.ndim - 1 - i
        size = input.shape[axis]
        if size + before + after < 0 or (size == 0 and mode != "circular"):
            raise RuntimeError(
                f"{mode} padding ({before}, {after}) of dimension {axis} of input {shape} leaves nothing"
            )
        if mode == "reflect" and max(before, after) >= size:
            raise RuntimeError(
                f"Argument #{4 + 2 * i}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({before}, {after}) at dimension {axis} of input {shape}"
            )
        if mode == "circular" and max(before, after) > size:
            raise RuntimeError(
                f"Padding value causes wrapping around more than once. Got padding ({before}, {after}) "
                f"at dimension {axis} of input {shape}"
            )
        if before or after:
            input = jnp.take(input, _positions(size, before, after, mode), axis, mode="clip")
    return input


def _bordering(mode: str, name: str, n: int) -> Any:
    def bordered(input: Array, pad: tuple[int, ...]) -> Array:
        return _padded(input, pad, mode)

    bordered.__name__ = f"_{mode}_pad"
    casts = None if mode == "circular" or (mode, n) == ("reflect", 3) else {"cpu": "float32"}
    return operator(methods=False, public=(), grad=name, autocast=casts)(bordered)


# the gradient's name says how many dimensions are padded
_BORDERS = {
    (mode, n): _bordering(mode, "torch::autograd::CopySlices" if mode == "circular" else f"{name}Pad{n}DBackward0", n)
    for mode, name in (("reflect", "Reflection"), ("replicate", "Replication"), ("circular", "Circular"))
    for n in (1, 2, 3)
}


def _checked(input: Any, pad: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(input, Tensor):
        raise not_a_tensor("pad", "input", 1, input)
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}")
    pad = tuple(whole_numbers("pad", "pad", 2, pad))
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, but got {list(pad)}")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.ndim}"
        )
    return pad


@composite(methods=False, public=("nn.functional",), numbers=True)
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Enlarge the last dimensions: `pad` is (before, after) of the last one, then of the one before it, and so on.

    Modes: 'constant' (with `value`), 'reflect', 'replicate', 'circular'. Negative numbers crop. The modes other than
    'constant' take the last 1, 2 or 3 dimensions of a tensor with one or two more (NotImplementedError otherwise).
    """
    pad = _checked(input, pad)
    if mode == "constant":
        if isinstance(value, complex):
            raise TypeError("pad(): argument 'value' (position 4) must be float, not complex")
        value = 0 if value is None else value
        _check_room(input, value)
        return _constant_pad(input, pad, value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}; expected 'constant' or one of {_MODES}")
    n = len(pad) // 2
    if n not in (1, 2, 3) or input.ndim not in (n + 1, n + 2):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            + "\n".join(
                f"  - {k + 1}D or {k + 2}D input: padding size = {2 * k} (pads last {'dimension' if k == 1 else f'{k} dimensions'})"
                for k in (1, 2, 3)
            )
        )
    if mode != "circular" and 0 in input.shape[max(input.ndim - n - 1, 0 if input.ndim == n + 1 else 1) :]:
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(input.shape)}"
        )
    return _BORDERS[mode, n](input, pad)


# --- as `torch` itself has them: arguments in another order, a reduction as a number -----------------------------------


@composite(methods=False)
def constant_pad_nd(input: Any, pad: Sequence[int], value: Any = 0) -> Any:
    """`nn.functional.pad` with a constant, which may be complex for complex tensors."""
    _check_room(input, value)
    return _constant_pad(input, _checked(input, pad), value)
