"""What `tensor.storage()` and `tensor.untyped_storage()` show: a tensor's whole memory, as elements or as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import dtypes
from .devices import device
from .geometry import Geometry
from .grad_mode import no_grad
from .storage import Storage
from .tensor import Tensor, blank, wrap

_new = object.__new__


def _flat(cell: Storage) -> Tensor:
    """All of a cell's elements as one dimension, off the tape."""
    return blank(Tensor, cell, Geometry((int(np.prod(cell.shape)),), (1,), 0))


class _Memory:
    """What both kinds of storage have in common."""

    _flat: Tensor

    def data_ptr(self) -> int:
        """A number that is the same for all tensors in this memory."""
        return id(self._flat._storage)

    @property
    def device(self) -> device:
        """Where the values are."""
        return self._flat.device

    @property
    def is_cuda(self) -> bool:
        """Whether they are on a GPU."""
        return self.device.type == "cuda"

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._flat.shape[0] * self._flat.dtype.itemsize

    def size(self) -> int:
        """The number of elements; bytes for an untyped storage."""
        return len(self._elements())

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._elements().tolist()

    def is_shared(self) -> bool:
        """Always False: no memory is shared between processes."""
        return False

    def _elements(self) -> np.ndarray:
        raise NotImplementedError

    def __len__(self) -> int:
        return self.size()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def _text(self, what: str) -> str:
        return "".join(f" {v}\n" for v in self.tolist()) + f"[torch.storage.{what}) of size {self.size()}]"


class UntypedStorage(_Memory):
    """A tensor's memory as bytes. `UntypedStorage(n)` is new memory of n bytes."""

    __module__ = "flambeau.storage"

    def __init__(self, *args: Any, device: Any = None):
        if len(args) > 1:
            raise TypeError(f"UntypedStorage() takes a size or a sequence of bytes, got {len(args)} arguments")
        values = np.zeros(args[0] if args else 0, np.uint8) if not args or isinstance(args[0], int) else args[0]
        self._flat = _flat(wrap(np.asarray(values, np.uint8)).to(device or "cpu")._storage)

    def _elements(self) -> np.ndarray:
        return np.ascontiguousarray(self._flat._array).view(np.uint8)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._flat._storage is other._flat._storage

    def __hash__(self) -> int:
        return self.data_ptr()

    def __getitem__(self, index: Any) -> Any:
        found = self._elements()[index]
        return UntypedStorage(found.copy()) if isinstance(index, slice) else found.item()

    def __repr__(self) -> str:
        return self._text(f"UntypedStorage(device={self.device}")


class TypedStorage(_Memory):
    """A tensor's memory as elements of its dtype."""

    __module__ = "flambeau.storage"

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        return self._flat.dtype

    def element_size(self) -> int:
        """The bytes of one element."""
        return self.dtype.itemsize

    def type(self) -> str:
        """The name of the storage type."""
        return f"torch.{self.dtype.abbr}Storage"

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return untyped_storage(self._flat)

    def clone(self) -> TypedStorage:
        """A copy in memory of its own."""
        return storage(wrap(self._flat._array))

    def fill_(self, value: Any) -> TypedStorage:
        """Overwrite every element."""
        with no_grad():
            self._flat[...] = value
        return self

    def _elements(self) -> np.ndarray:
        return np.asarray(self._flat._array)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not -self.size() <= index < self.size():
            raise IndexError(f"index {index} out of range for storage of size {self.size()}")
        return self._elements()[index].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        with no_grad():
            self._flat[index] = value

    def __repr__(self) -> str:
        return self._text(f"TypedStorage(dtype={self.dtype}, device={self.device}")


def storage(tensor: Tensor) -> TypedStorage:
    """The memory that a tensor looks into, which other tensors may look into too."""
    made = _new(TypedStorage)
    made._flat = _flat(tensor._storage)
    return made


def untyped_storage(tensor: Tensor) -> UntypedStorage:
    """The memory that a tensor looks into, as bytes."""
    made = _new(UntypedStorage)
    made._flat = _flat(tensor._storage)
    return made


Tensor.storage = lambda self: storage(self)  # type: ignore[attr-defined]
Tensor.untyped_storage = lambda self: untyped_storage(self)  # type: ignore[attr-defined]
