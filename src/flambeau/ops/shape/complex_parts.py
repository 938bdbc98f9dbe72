"""Complex numbers as pairs of real ones, and back; their real and imaginary parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.array import dtypes
from ...core.array.geometry import Geometry
from ...core.dispatch.operator import composite
from ...core.dispatch.view import view
from ...core.tensor.tensor import Tensor
from .parts import select


@view(methods=False, public=(), grad="ViewAsRealBackward0")
def _as_real(g: Geometry, part: np.dtype) -> Geometry:
    return Geometry((*g.shape, 2), (*(s * 2 for s in g.strides), 1), g.offset * 2, part)


@view(methods=False, public=(), grad="ViewAsComplexBackward0")
def _as_complex(g: Geometry, whole: np.dtype) -> Geometry:
    if not g.shape or g.shape[-1] != 2:
        raise RuntimeError(f"Tensor must have a last dimension of size 2 (real, imaginary), got shape {list(g.shape)}")
    if g.strides[-1] != 1:
        raise RuntimeError(f"Tensor must have a last dimension with stride 1, got {g.strides[-1]}")
    if g.offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    if any(s % 2 for n, s in zip(g.shape[:-1], g.strides[:-1], strict=True) if n != 1):
        raise RuntimeError(f"Tensor must have a stride divisible by 2 for all but last dimension: {g.strides}")
    return Geometry(g.shape[:-1], tuple(s // 2 for s in g.strides[:-1]), g.offset // 2, whole)


@composite()
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real one with a last dimension of (real, imaginary)."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return _as_real(input, input.dtype.to_real().numpy)


@composite(autocast={"cpu": "float32"})
def view_as_complex(input: Tensor) -> Tensor:
    """A real tensor whose last dimension is (real, imaginary) as a complex one."""
    if input.dtype not in (dtypes.float16, dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
            f"{input.dtype.abbr}"
        )
    return _as_complex(input, input.dtype.to_complex().numpy)


@composite(methods=False)
def real(input: Tensor) -> Tensor:
    """The real parts, as a view; a real tensor is returned as it is."""
    return select(view_as_real(input), -1, 0) if input.dtype.is_complex else input


@composite(methods=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts, as a view. Raises RuntimeError for a real tensor."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return select(view_as_real(input), -1, 1)


def _write(part: Tensor, value: Any) -> None:
    if isinstance(value, Tensor):
        part.copy_(value)
    else:
        part[...] = value


def _write_real(self: Tensor, value: Any) -> None:
    _write(real(self), value)


def _write_imag(self: Tensor, value: Any) -> None:
    _write(imag(self), value)


Tensor.real = property(real, _write_real)  # type: ignore[attr-defined]
Tensor.imag = property(imag, _write_imag)  # type: ignore[attr-defined]
