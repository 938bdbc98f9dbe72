"""The old tensor types: `FloatTensor(2, 3)`, `isinstance(x, LongTensor)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import dtypes
from ..array.size import constructed, legacy_arguments
from .tensor import Tensor, from_host


class _TensorType(type):
    dtype: dtypes.dtype
    device_type: str

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.device.type == cls.device_type

    def __call__(cls, *args: Any, **kwargs: Any) -> Tensor:
        args = legacy_arguments(args, kwargs, cls.device_type) if kwargs else args
        if len(args) == 1 and isinstance(args[0], Tensor):
            if args[0].dtype is not cls.dtype:
                raise TypeError(f"expected {_options(cls.dtype)} (got {_options(args[0].dtype)})")
            values = np.array(args[0].detach()._array, cls.dtype.numpy)
        elif len(args) == 1 and (look := getattr(args[0], "look", None)) is not None:  # a storage
            return look(cls.dtype)
        else:
            values = constructed(args, cls.dtype.numpy)
        return from_host(values, cls.device_type)


def _options(dtype: dtypes.dtype) -> str:
    """A kind of tensor in the words of PyTorch's C++."""
    default = "requires_grad=false (default), pinned_memory=false (default), memory_format=(nullopt)"
    return f"TensorOptions(dtype={dtypes.cpp_name(dtype)}, device=cpu, layout=Strided, {default})"


def _make(d: dtypes.dtype, device_type: str) -> _TensorType:
    made = _TensorType(f"{d.abbr}Tensor", (), {"__module__": "torch" if device_type == "cpu" else "torch.cuda"})
    made.dtype, made.device_type = d, device_type
    made.__doc__ = f"Tensors of {d} on the {device_type}: a constructor, and a type to ask `isinstance` about."
    return made


TENSOR_TYPES = {f"{d.abbr}Tensor": _make(d, "cpu") for d in dtypes.DTYPES if d.category != dtypes.COMPLEX}
CUDA_TENSOR_TYPES = {f"{d.abbr}Tensor": _make(d, "cuda") for d in dtypes.DTYPES if d.category != dtypes.COMPLEX}
