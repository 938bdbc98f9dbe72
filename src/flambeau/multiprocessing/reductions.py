"""`torch.multiprocessing.reductions`: how tensors go to other processes, which is by value."""

from __future__ import annotations

import os
import pickle
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import Any

from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from ..nn.parameter import Parameter
from ..runtime.absent import refuse

__all__ = ["ForkingPickler", "StorageWeakRef", "fd_id", "init_reductions", "reduce_storage", "reduce_tensor"]


def init_reductions() -> None:
    """Have queues and pipes write tensors by `reduce_tensor`."""
    for kind in (Tensor, Parameter):
        ForkingPickler.register(kind, reduce_tensor)


def reduce_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """What `ForkingPickler` writes of a tensor: a function and its arguments, values among them.

    RuntimeError for a result that gradients go through: its history would be lost on the way, without a word.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(message("history_to_other_process"))
    return tensor.__reduce_ex__(pickle.DEFAULT_PROTOCOL)  # type: ignore[return-value]


def reduce_storage(storage: Any) -> tuple[Any, ...]:
    """The same of a storage."""
    return storage.__reduce_ex__(2)  # type: ignore[no-any-return]


class StorageWeakRef:
    """Knows a storage without keeping it. Equal for the same memory."""

    __slots__ = ("_ref", "cdata")

    def __init__(self, storage: Any) -> None:
        held = getattr(storage, "_untyped_storage", storage)
        held = getattr(held, "_cell", held)
        self.cdata: int = storage._cdata
        self._ref: Any = weakref.ref(held)

    def expired(self) -> bool:
        """Whether the storage is gone."""
        return self._ref() is None

    def __hash__(self) -> int:
        return self.cdata

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageWeakRef) and self.cdata == other.cdata


def fd_id(fd: int) -> tuple[int, int]:
    """What is the same for two descriptors of one file."""
    found = os.fstat(fd)
    return found.st_ino, found.st_dev


refuse(
    globals(),
    "tensors go to other processes by value, by their pickled form: reduce_tensor and reduce_storage give it",
    "SharedCache rebuild_cuda_tensor rebuild_event rebuild_meta_tensor rebuild_nested_tensor rebuild_sparse_compressed_tensor "
    "rebuild_sparse_coo_tensor rebuild_storage_empty rebuild_storage_fd rebuild_storage_filename rebuild_tensor rebuild_typed_storage "
    "rebuild_typed_storage_child reduce_event reduce_nested_tensor reduce_sparse_tensor reduce_typed_storage reduce_typed_storage_child "
    "shared_cache storage_from_cache",
)
