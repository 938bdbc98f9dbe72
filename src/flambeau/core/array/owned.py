"""Arrays in name only: what the tape carries for a tensor whose class computes for itself (`__torch_dispatch__`).

An `OwnedArray` stands where a `jax.Array` would. It knows the tensor, its shape and its dtype; whatever asks it for values
raises `Unasked`, so that nothing is computed without the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import core as jax_core


class Unasked(NotImplementedError):
    """Values were asked for that the tensor's class alone could give."""


Unasked.__name__ = Unasked.__qualname__ = "NotImplementedError"
Unasked.__module__ = "builtins"


class Stale(RuntimeError):
    """A tensor that was saved for the backward pass has been written to since, and is to be used."""


Stale.__name__ = Stale.__qualname__ = "RuntimeError"
Stale.__module__ = "builtins"


def output_of(edge: Any) -> str:
    """Which output of which node an edge is, as errors say it; nothing for a leaf."""
    if edge is None or not edge[0].edges:
        return ""
    return f", which is output {edge[1]} of {edge[0].label.removesuffix('Backward0')},"


class OwnedArray:
    """A tensor, with its shape and dtype, in the place of an array. Without a tensor, `what` says what there is no class for."""

    __slots__ = ("dtype", "made_by", "shape", "tensor", "version", "what", "written")
    committed = True
    weak_type = False

    def __init__(self, shape: Any, dtype: Any, tensor: Any = None, version: int = 0, what: str = "a tensor"):
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype: np.dtype = np.dtype(dtype)
        self.tensor: Any = tensor
        self.version: int = version  # of the tensor when it was put here
        self.what: str = what
        self.made_by: str = ""  # which node's output it is, for errors
        self.written: str = ""  # what to say if it is used, if it has been written to since it was saved

    @classmethod
    def of(cls, tensor: Any) -> OwnedArray:
        """A tensor as the tape carries it."""
        made = cls(tensor.shape, tensor._np_dtype, tensor, tensor._version)
        made.made_by = output_of(tensor._edge)
        return made

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def aval(self) -> jax.core.ShapedArray:
        return jax.core.ShapedArray(self.shape, self.dtype)

    def is_deleted(self) -> bool:
        return False

    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises: the values are not here."""
        if self.written:
            raise Stale(self.written)
        what = self.what if self.tensor is None else f"a tensor of class {type(self.tensor).__name__}"
        raise Unasked(
            f"{what} has no values outside of its __torch_dispatch__, and flambeau computes this without asking it. Take the "
            "tensors that it holds, or call operators that it sees (torch.ops.aten)"
        )

    __array__: Callable[..., Any]
    __bool__: Callable[..., Any]
    __float__: Callable[..., Any]
    __getitem__: Callable[..., Any]
    __index__: Callable[..., Any]
    __int__: Callable[..., Any]
    __iter__: Callable[..., Any]
    __len__: Callable[..., Any]
    __array__ = __iter__ = __getitem__ = __float__ = __int__ = __index__ = __bool__ = __len__ = refuse
    __dlpack__ = __dlpack_device__ = astype = transpose = reshape = item = tolist = unsafe_buffer_pointer = refuse

    def __repr__(self) -> str:
        return f"OwnedArray({self.shape}, {self.dtype})"


jax_core.pytype_aval_mappings[OwnedArray] = OwnedArray.refuse

__all__ = ["OwnedArray", "Stale", "Unasked", "output_of"]
