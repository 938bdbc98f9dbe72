"""The functions that a checkpoint's pickle calls to make tensors: torch's names, our own checks and results.

They trust none of their arguments, since a file chooses them.
"""

from __future__ import annotations

import math
from types import MemberDescriptorType
from typing import Any

import jax
import numpy as np

from ..core.array import dtypes, formats
from ..core.array.geometry import contiguous_strides
from ..core.array.meta import MetaArray
from ..core.context.grad_mode import no_grad
from ..core.dispatch.operator import namespaces
from ..core.tensor.looks import from_storage
from ..core.tensor.memory import Memory
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import _INTERNAL, Tensor
from ..core.tensor.tensor import wrap as _wrap
from ..core.tensor.wrappers import declared
from .errors import brief, damaged
from .storages import TypedStorage, UntypedStorage

_MAX_DIMS = 64
_MAX = 2**63 - 1


def _numbers(value: object, what: str) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) > _MAX_DIMS:
        raise damaged(f"a tensor's {what} should be at most {_MAX_DIMS} numbers, got {brief(value)}")
    for n in value:
        _number(n, what)
    return tuple(value)


def _number(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= _MAX:
        raise damaged(f"a tensor's {what} should be counts from 0 to 2**63 - 1, got {brief(value)}")
    return value


def _flag(value: object, what: str) -> bool:
    if type(value) is not bool:
        raise damaged(f"{what} should be True or False, got {brief(value)}")
    return value


def _rebuild_tensor_v2(
    storage: Any, storage_offset: int, size: Any, stride: Any, requires_grad: bool, backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:  # fmt: skip
    """A tensor that looks into `storage`, of a file or, in a pickle of Python's own, of memory."""
    if isinstance(storage, Memory) and hasattr(storage, "dtype"):
        return _in_memory(storage, storage.dtype, storage_offset, size, stride, requires_grad, metadata)
    if not isinstance(storage, TypedStorage) or storage.of_bytes:
        raise damaged(f"a tensor should lie in a typed storage, got {brief(storage)}")
    return _tensor(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata)


def _rebuild_tensor_v3(
    storage: Any, storage_offset: int, size: Any, stride: Any, requires_grad: bool, backward_hooks: Any, dtype: Any,
    metadata: Any = None,
) -> Tensor:  # fmt: skip
    """The same for a storage of bytes, which does not know its dtype."""
    if isinstance(storage, Memory) and isinstance(dtype, dtypes.dtype):
        return _in_memory(storage, dtype, storage_offset, size, stride, requires_grad, metadata)
    if isinstance(storage, TypedStorage):
        storage = storage.untyped()
    if not isinstance(storage, UntypedStorage) or not isinstance(dtype, dtypes.dtype):
        raise damaged(f"a tensor should have a storage and a dtype, got {brief(storage)} and {brief(dtype)}")
    if storage.nbytes() % dtype.itemsize:
        raise damaged(f"{storage.nbytes()} bytes are no whole number of {dtype} elements")
    typed = TypedStorage(storage, dtype)
    return _tensor(typed, storage_offset, size, stride, requires_grad, backward_hooks, metadata)


def _rebuild_tensor(storage: Any, storage_offset: int, size: Any, stride: Any) -> Tensor:
    """The form of the first versions of torch."""
    return _rebuild_tensor_v2(storage, storage_offset, size, stride, False, None)


def _rebuild_sparse_tensor(layout: Any, data: Any) -> Tensor:
    """A sparse tensor of its parts: indices (or compressed rows and columns), values, size, and whether coalesced."""
    compressed = layout in (formats.sparse_csr, formats.sparse_csc, formats.sparse_bsr, formats.sparse_bsc)
    if not (compressed or layout is formats.sparse_coo):
        raise damaged(f"a sparse tensor should have a sparse layout, got {brief(layout)}")
    if type(data) is not tuple or not 3 <= len(data) <= 4:
        raise damaged(f"a sparse tensor should have three or four parts, got {brief(data)}")
    count = 3 if compressed else 2
    tensors, rest = data[:count], data[count:]
    if len(tensors) + 1 > len(data) or not all(type(part) is Tensor for part in tensors):
        raise damaged(f"the parts of a sparse tensor should be tensors and a size, got {brief(data)}")
    size = _numbers(rest[0], "the size of a sparse tensor")
    make = namespaces["torch"]
    try:
        if compressed:
            return make["sparse_compressed_tensor"](*tensors, size, layout=layout)
        coalesced = len(rest) > 1 and _flag(rest[1], "whether a sparse tensor is coalesced")
        return make["sparse_coo_tensor"](*tensors, size, is_coalesced=coalesced)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise damaged(f"the parts of a sparse tensor do not go together: {error}") from error


def _tensor(
    storage: TypedStorage, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any
) -> Tensor:
    offset = _number(offset, "storage offset")
    shape, strides = _numbers(size, "sizes"), _numbers(stride, "strides")
    if len(shape) != len(strides):
        raise damaged(f"a tensor has {len(shape)} sizes but {len(strides)} strides")
    dtype, numel = storage.dtype, math.prod(shape)
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > _MAX:
        raise damaged(f"a tensor of the sizes {brief(shape)} would have more bytes than 64 bits can count")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if numel else offset - 1
    if last >= storage.size():
        raise damaged(
            f"a tensor with sizes {brief(shape)}, strides {brief(strides)} and storage offset {offset} reaches "
            f"beyond its storage of {storage.size()} elements"
        )
    if _flag(requires_grad, "requires_grad") and not (dtype.is_floating_point or dtype.is_complex):
        raise damaged(f"a tensor of dtype {dtype} cannot require gradients")
    if hooks is not None and not isinstance(hooks, dict):
        raise damaged(f"a tensor's backward hooks should be a dict, got {brief(hooks)}")
    conj, neg = _lazy_bits(metadata)
    if neg and dtype is dtypes.bool:
        raise damaged("bools have no negative")
    whole = storage.size() == storage.untyped().nbytes() // dtype.itemsize
    whole = whole and offset == 0 and numel == storage.size() and strides == contiguous_strides(shape)
    cell = storage.untyped().cell(dtype, shape if whole else None, conj and dtype.is_complex, neg)
    tensor = from_storage(cell, shape, strides, storage._start + offset)
    return tensor.requires_grad_() if requires_grad else tensor


def _in_memory(
    storage: Memory, dtype: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, metadata: Any
) -> Tensor:
    """The same where the storage is a tensor's memory already."""
    shape, strides = _numbers(size, "sizes"), _numbers(stride, "strides")
    conj, neg = _lazy_bits(metadata)
    with no_grad():
        tensor = storage.look(dtype, shape, strides, _number(offset, "storage offset"))
        tensor = namespaces["torch"]["conj_physical"](tensor) if conj else tensor
        tensor = namespaces["torch"]["negative"](tensor) if neg else tensor
    return _finish(tensor, requires_grad)


def _lazy_bits(metadata: Any) -> tuple[bool, bool]:
    """torch may leave a conjugation or negation to whoever reads the tensor, and notes it here."""
    if metadata is None:
        return False, False
    if not isinstance(metadata, dict) or not set(metadata) <= {"conj", "neg"}:
        raise RuntimeError(f"this checkpoint says something of a tensor that flambeau does not know: {brief(metadata)}")
    return tuple(_flag(metadata.get(bit, False), bit) for bit in ("conj", "neg"))  # type: ignore[return-value]


def _rebuild_meta_tensor_no_storage(dtype: Any, size: Any, stride: Any, requires_grad: bool) -> Tensor:
    """A tensor on the meta device, of which a file has no values."""
    if not isinstance(dtype, dtypes.dtype):
        raise damaged(f"a tensor should have a dtype, got {brief(dtype)}")
    shape, strides = _numbers(size, "sizes"), _numbers(stride, "strides")
    if len(shape) != len(strides):
        raise damaged(f"a tensor has {len(shape)} sizes but {len(strides)} strides")
    count = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if 0 not in shape else 0
    if strides == contiguous_strides(shape):
        made = _wrap(MetaArray(shape, dtype.numpy))
    else:
        made = from_storage(Storage(MetaArray((count,), dtype.numpy)), shape, strides)
    return _finish(made, requires_grad)


def _rebuild_wrapper_subclass(
    cls: Any, dtype: Any, size: Any, stride: Any, storage_offset: Any, layout: Any, device: Any, requires_grad: bool
) -> Any:
    """A tensor of a class that computes for itself; what it holds are attributes."""
    if not isinstance(cls, type) or not issubclass(cls, Tensor) or not isinstance(dtype, dtypes.dtype):
        raise damaged(f"a tensor's class and dtype should be such, got {brief(cls)} and {brief(dtype)}")
    shape, strides = _numbers(size, "sizes"), _numbers(stride, "strides")
    return declared(
        cls, shape, strides=strides, storage_offset=storage_offset, dtype=dtype, layout=layout, device=device,
        requires_grad=_flag(requires_grad, "requires_grad"),
    )  # fmt: skip


def _rebuild_parameter(data: Any, requires_grad: bool = True, backward_hooks: Any = None) -> Tensor:
    """A parameter around `data`."""
    from ..nn.parameter import Parameter  # here, since nn.Module itself pickles through this package

    if not isinstance(data, Tensor):
        raise damaged(f"a parameter should be made from a tensor, got {brief(data)}")
    dtype = data.dtype
    if _flag(requires_grad, "requires_grad") and not (dtype.is_floating_point or dtype.is_complex):
        raise damaged(f"a parameter of dtype {dtype} cannot require gradients")
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Any, requires_grad: bool, backward_hooks: Any, state: Any) -> Tensor:
    """The same, with Python attributes."""
    return set_state(_rebuild_parameter(data, requires_grad, backward_hooks), state)


def _rebuild_from_type_v2(function: Any, new_type: Any, args: Any, state: Any) -> Tensor:
    """A tensor of a subclass, or one with Python attributes."""
    known = (
        _rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter, _rebuild_meta_tensor_no_storage,
        _rebuild_wrapper_subclass,
    )  # fmt: skip
    if not any(function is one for one in known):
        raise damaged(f"tensors are not made by {brief(function)}")
    if not isinstance(new_type, type) or not issubclass(new_type, Tensor) or not isinstance(args, tuple):
        raise damaged(f"a tensor's class should be a subclass of Tensor, got {brief(new_type)}")
    try:
        tensor = function(*args)
    except TypeError as e:
        raise damaged(f"a tensor's description has the wrong number of parts: {len(args)}") from e
    if new_type is not type(tensor) and new_type is not Tensor:
        tensor = Tensor._make_subclass(new_type, tensor.detach(), tensor.requires_grad)
    return set_state(tensor, state)


def _rebuild_from_type(function: Any, new_type: Any, args: Any, state: Any) -> Tensor:
    """The older form of the same."""
    return _rebuild_from_type_v2(function, new_type, args, state)


def set_state(tensor: Any, state: Any) -> Any:
    """Set Python attributes: a dict, or a pair of it and one for the slots. They cannot hide what tensors have."""
    if type(tensor).__setstate__ is not Tensor.__setstate__:  # type: ignore[attr-defined]
        tensor.__setstate__(state)
        return tensor
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, dict):
            raise damaged(f"a tensor's attributes should be a dict, got {brief(part)}")
        for name, value in part.items():
            if type(name) is not str or name in _INTERNAL or name.startswith("__"):
                raise damaged(f"a tensor cannot be given the attribute {brief(name)}")
            inherited = getattr(type(tensor), name, None)
            if type(inherited) is MemberDescriptorType and inherited.__objclass__ is not Tensor:
                setattr(tensor, name, value)
                continue
            if inherited is not None and (callable(inherited) or hasattr(type(inherited), "__get__")):
                raise damaged(f"the attribute {brief(name)} would hide one that tensors have")
            tensor.__dict__[name] = value
    return tensor


def _rebuild_device_tensor_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    """How torch writes the tensors of devices whose memory it cannot read, such as TPUs; they come to the CPU."""
    if not isinstance(data, np.ndarray) or not isinstance(dtype, dtypes.dtype):
        raise damaged(f"a tensor should be made from an array and a dtype, got {brief(data)} and {brief(dtype)}")
    return _finish(_wrap(jax.device_put(data.astype(dtype.numpy))), requires_grad)


def _rebuild_device_tensor_from_cpu_tensor(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
    """The newer form of the same."""
    if not isinstance(data, Tensor) or data.dtype is not dtype:
        raise damaged(f"a tensor should be made from another of its dtype {brief(dtype)}")
    return _finish(data, requires_grad)


def _finish(tensor: Tensor, requires_grad: Any) -> Tensor:
    if _flag(requires_grad, "requires_grad"):
        if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
            raise damaged(f"a tensor of dtype {tensor.dtype} cannot require gradients")
        with no_grad():
            tensor.requires_grad_()
    return tensor
