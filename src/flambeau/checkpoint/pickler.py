"""Objects to a pickle with torch's names in it, and the storages that it refers to."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from ..core.array import dtypes, formats
from ..core.tensor import typed_memory as memory
from ..core.tensor.copying import own_state, warn_if_has_hooks
from ..core.tensor.declared import DeclaredStorage
from ..core.tensor.memory import Memory
from ..core.tensor.sparse import is_sparse, stored
from ..core.tensor.storage import ByteStorage, Storage
from ..core.tensor.tensor import Tensor
from . import names, rebuild, settings
from .storages import STORAGE_TYPES, UNTYPED, StorageType, TypedStorage, UntypedStorage

_PLAIN = frozenset((int, float, bool, str, bytes, type(None), tuple, list, dict, set, OrderedDict))


class _Bare(NamedTuple):
    """A tensor without its class and attributes."""

    tensor: Tensor


class _Reference(NamedTuple):
    """What stands for a storage in the pickle."""

    key: tuple[Any, ...]


class _Held:
    """A storage that is being saved as elements of `dtype`: `start` to `stop` is what tensors refer to."""

    def __init__(self, owner: Storage, kind: StorageType, dtype: np.dtype):
        self.owner = owner  # held, so that its id stays its own
        self.kind = kind
        self.dtype = dtype
        self.start: int = 0
        self.stop: int = 0
        self.number: int | None = None

    def refer(self, start: int, stop: int) -> None:
        if start < stop:
            empty = self.start == self.stop
            self.start = start if empty else min(start, self.start)
            self.stop = max(stop, self.stop)

    def array(self) -> np.ndarray:
        """The elements that are referred to."""
        flat = np.ascontiguousarray(np.asarray(self.owner.value)).reshape(-1)
        return (flat if flat.dtype == self.dtype else flat.view(self.dtype))[self.start : self.stop]


class Plan:
    """The storages of one file.

    A first pickling, thrown away, tells it which stretches of them are needed; the second one is written.
    """

    def __init__(self, legacy: bool = False, order_first: bool = True):
        self.legacy = legacy
        # elements without a storage type of their own lie in one of bytes; the old format knows only typed ones
        self.bytes = STORAGE_TYPES[dtypes.uint8] if legacy else UNTYPED
        self.order_first = order_first  # whether the record of the byte order comes before the values
        self.final = False
        self.written: list[_Held] = []
        self._held: dict[Any, _Held] = {}

    def held(self, owner: Storage, kind: StorageType, dtype: np.dtype, start: int, stop: int) -> _Held:
        """The record of `owner`, which a tensor refers to from `start` to `stop`, in elements of `dtype`."""
        key = (id(owner), dtype) if 0 in owner.shape else id(owner)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(owner, kind, dtype)
            if self.final:  # made anew by the second pickling: nothing is known of what else looks into it
                held.refer(0, int(np.prod(owner.shape)) * owner.dtype.itemsize // dtype.itemsize)
        elif held.dtype != dtype or held.kind is not kind:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types: save just one of "
                "them, or clones"
            )
        if not self.final:
            held.refer(start, stop)
        elif held.number is None:
            held.number = len(self.written)
            self.written.append(held)
        return held

    def reference(self, held: _Held, location: str) -> _Reference:
        """What goes into the pickle for it."""
        count = (held.stop - held.start) * held.dtype.itemsize // held.kind.itemsize
        key = ("storage", held.kind, str(held.number), location, count)
        return _Reference((*key, None) if self.legacy else key)


def _tensor_parts(plan: Plan, tensor: Tensor) -> tuple[Any, ...]:
    parts: tuple[Any, ...]
    if tensor.is_meta:  # type: ignore[attr-defined]
        parts = (tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), tensor.requires_grad)
        return rebuild._rebuild_meta_tensor_no_storage, parts
    dtype, shape, strides, offset = tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), tensor.storage_offset()
    stop = offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if 0 not in shape else offset
    kind = STORAGE_TYPES.get(dtype, plan.bytes)
    held = plan.held(tensor._storage, kind, dtype.numpy, offset, stop)
    location = settings.location_of(tensor.untyped_storage, tensor.device)
    offset = offset - held.start if stop > offset else 0
    parts = (plan.reference(held, location), offset, shape, strides, tensor.requires_grad, OrderedDict())
    if dtype not in STORAGE_TYPES:
        return rebuild._rebuild_tensor_v3, (*parts, dtype)
    return rebuild._rebuild_tensor_v2, parts


def _storage_key(plan: Plan, storage: Memory) -> tuple[Any, ...]:
    """What stands for a storage that is saved by itself."""
    cell = storage.untyped()._cell
    # bytes of elements of another dtype have no name that torch's old format could give them
    kind = STORAGE_TYPES[dtypes.uint8] if cell.dtype == np.uint8 else None if plan.legacy else UNTYPED
    if isinstance(storage, memory.TypedStorage):
        if isinstance(cell, ByteStorage):
            cell.take_dtype(storage.dtype.numpy)
        untyped = None if plan.legacy else UNTYPED
        kind = STORAGE_TYPES.get(storage.dtype, untyped) if cell.dtype == storage.dtype.numpy else None
    if kind is None:
        raise RuntimeError("Cannot save a storage that is read as another type than its tensors': save just the tensor")
    held = plan.held(cell, kind, cell.dtype, 0, int(np.prod(cell.shape)))
    return plan.reference(held, settings.location_of(lambda: storage, storage.device)).key


def _reduce_tensor(plan: Plan, tensor: Tensor) -> Any:
    from ..nn.parameter import Parameter

    kind = type(tensor)
    state = own_state(tensor)
    if issubclass(kind, Parameter):
        parts: tuple[Any, ...] = (_Bare(tensor.detach()), tensor.requires_grad, OrderedDict())
        if state:
            return rebuild._rebuild_parameter_with_state, (*parts, state)
        return rebuild._rebuild_parameter, parts
    if plan.final:
        warn_if_has_hooks(tensor)
    if is_sparse(tensor):
        if kind is not Tensor or state:
            raise TypeError("a sparse tensor with attributes, or of a class of its own, cannot be saved")
        held = stored(tensor)
        layout = getattr(formats, held.layout)
        if isinstance(held.indices, tuple):
            return rebuild._rebuild_sparse_tensor, (layout, (*held.indices, held.values, tensor.shape))
        return rebuild._rebuild_sparse_tensor, (layout, (held.indices, held.values, tensor.shape, held.coalesced))
    if type(tensor._storage) is DeclaredStorage:
        parts = (tensor.storage_offset(), formats.strided, tensor.device, tensor.requires_grad)
        parts = (kind, tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), *parts)
        return rebuild._rebuild_from_type_v2, (rebuild._rebuild_wrapper_subclass, kind, parts, state)
    function, parts = _tensor_parts(plan, tensor)
    if kind is Tensor and not state:
        return function, parts
    return rebuild._rebuild_from_type_v2, (function, kind, parts, state)


def pickler(pickle_module: Any, file: Any, protocol: int, plan: Plan, persistent: Any = None) -> Any:
    """A pickler that writes torch's names. It has to be one in Python, since the names of globals are changed.

    `persistent(obj)` gives the persistent id of what is no storage and has one, else None.
    """
    base = pickle._Pickler if pickle_module is pickle else pickle_module.Pickler
    if not hasattr(base, "save_global"):
        raise TypeError(
            f"{pickle_module.__name__}.Pickler cannot write torch's names, being written in C: use pickle_module=pickle"
        )

    class TorchPickler(base):  # type: ignore[misc, valid-type]
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, Memory):
                return _storage_key(plan, obj)
            if type(obj) is _Reference:
                return obj.key
            return None if persistent is None else persistent(obj)

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) in _PLAIN:
                return NotImplemented
            if isinstance(obj, Tensor) and not hasattr(obj, "materialize") and not obj.is_nested:  # type: ignore[attr-defined]
                return _reduce_tensor(plan, obj)
            if type(obj) is formats.layout:
                return names.get_layout, (repr(obj),)
            if type(obj) is _Bare:
                return _tensor_parts(plan, obj.tensor)
            if isinstance(obj, (TypedStorage, UntypedStorage)):
                raise TypeError("a storage that was loaded by itself cannot be saved again: save a tensor")
            if isinstance(obj, Storage):
                raise TypeError("the storage of a tensor cannot be saved by itself: save the tensor")
            if (name := names.written(obj)) is not None:
                return name[1]  # so that save_global is called, whatever kind of object this is
            if type(obj) is FunctionType:
                return obj.__qualname__
            return NotImplemented

        def save_global(self, obj: Any, name: Any = None) -> None:
            known = names.written(obj, name)
            if known is None:
                try:
                    super().save_global(obj, name)
                except pickle.PicklingError:
                    if pickle_module is pickle:
                        pickle.dumps(obj)  # raises the error that PyTorch's pickler, which is in C, raises
                    raise
                return
            path, _, last = known[1].rpartition(".")
            if path and self.proto < 4:  # such a pickle has no names with dots
                owner: Any = sys.modules[obj.__module__]
                for part in path.split("."):
                    owner = getattr(owner, part)
                self.save_reduce(getattr, (owner, last), obj=obj)
                return
            if self.proto >= 4:
                self.save(known[0])
                self.save(known[1])
                self.write(pickle.STACK_GLOBAL)
            elif self.proto == 3 or all(part.isascii() for part in known):
                self.write(pickle.GLOBAL + known[0].encode() + b"\n" + known[1].encode() + b"\n")
            else:
                raise pickle.PicklingError(f"pickle protocol {self.proto} cannot write the name {'.'.join(known)}")
            self.memoize(obj)

    return TorchPickler(file, protocol)
