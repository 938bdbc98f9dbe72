"""Storages on their way between a file and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.array import devices, dtypes
from ..core.array.meta import MetaArray
from ..core.tensor import typed_memory
from ..core.tensor.memory import untyped_storage
from ..core.tensor.storage import Storage
from ..core.tensor.tensor import Tensor, blank, from_host
from . import settings
from .errors import brief


class StorageType:
    """What stands for `torch.FloatStorage` and its like: the element type of a storage in a file."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype: dtypes.dtype | None):
        self.name: str = name
        self.dtype: Any = dtype  # None: bytes without a type

    def __repr__(self) -> str:
        return f"<torch storage type {self.name}>"

    @property
    def itemsize(self) -> int:
        return 1 if self.dtype is None else self.dtype.itemsize


NO_CUDA = (
    "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are running on a "
    "CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
)
UNTYPED = StorageType("UntypedStorage", None)
# torch has such classes for its older types only; the others are written as bytes, with the type beside them
STORAGE_TYPES: dict[dtypes.dtype, StorageType] = {
    d: StorageType(f"{d.abbr}Storage", d)
    for d in dtypes.DTYPES
    if d not in (dtypes.uint16, dtypes.uint32, dtypes.uint64)
}


class UntypedStorage:
    """The bytes of a storage, and the device on which its tensors are to be."""

    def __init__(self, data: np.ndarray, device: devices.device = devices.CPU, swapped: bool = False):
        self._data = data  # uint8, as in the file
        self._swapped = swapped  # whether the file's byte order is not this machine's
        self._cells: dict[tuple[dtypes.dtype, bool, bool], Storage] = {}
        self.device = device

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._data.size

    size = nbytes
    __len__ = nbytes

    def to(self, device: Any) -> UntypedStorage:
        """The storage for another device; itself if it is for that one already."""
        target = devices.device(device)
        if target == self.device:
            return self
        if target.type != "meta" and not devices.jax_devices(target.type):
            if target.type == "cuda":
                raise RuntimeError(NO_CUDA)
            raise RuntimeError(
                f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {target}): there is no such device "
                "here. Name another one, as in torch.load(..., map_location='cpu')"
            )
        devices.to_jax(target)
        return UntypedStorage(self._data, target, self._swapped)

    def cpu(self) -> UntypedStorage:
        """The storage for the CPU."""
        return self.to(devices.CPU)

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """The storage for a GPU."""
        return self.to("cuda" if device is None else device)

    def __getitem__(self, index: Any) -> Any:
        found = self._data[index]
        return UntypedStorage(found, self.device, self._swapped) if isinstance(index, slice) else int(found)

    def tolist(self) -> list[int]:
        """The bytes as numbers."""
        return self._data.tolist()

    def __repr__(self) -> str:
        return f"[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"

    def array(self, dtype: dtypes.dtype) -> np.ndarray:
        """The elements, flat, in this machine's byte order."""
        data = self._data
        if dtype is dtypes.bool:
            return data != 0  # a bool of any other bit pattern would be undefined behaviour
        if self._swapped:
            unit = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
            data = data.view(f"u{unit}").byteswap().view(np.uint8)
        return data.view(dtype.numpy)

    def cell(
        self, dtype: dtypes.dtype, shape: tuple[int, ...] | None, conj: bool = False, neg: bool = False
    ) -> Storage:
        """The cell that all tensors here look into. `shape` is the first one's if that shows all of it, else None."""
        key = (dtype, conj, neg)
        cell = self._cells.get(key)
        if cell is None:
            if any(held[0] is not dtype for held in self._cells):
                raise RuntimeError("the checkpoint is damaged: tensors of different dtypes lie in the same storage")
            if self.device.type == "meta":
                array: Any = MetaArray(shape or (self.nbytes() // dtype.itemsize,), dtype.numpy)
                cell = self._cells[key] = Storage(array)
                return cell
            array = self.array(dtype)
            if conj:
                array = np.conjugate(array)
            if neg:
                array = np.negative(array)
            if shape is not None:
                array = array.reshape(shape)
            # values for the CPU stay NumPy's until something is computed with them, which a forked process can't
            cell = self._cells[key] = from_host(array, self.device)._storage
        return cell

    def memory(self, dtype: dtypes.dtype) -> Storage:
        """The cell of the tensors here, or one of elements of `dtype` if there are none."""
        found = next((c for (_, conj, neg), c in self._cells.items() if not conj and not neg), None)
        if found is None and self._cells:
            return UntypedStorage(self._data, self.device, self._swapped).cell(dtype, None)
        return self.cell(dtype, None) if found is None else found


class TypedStorage:
    """A stretch of an untyped storage, seen as elements of one type."""

    of_bytes = False  # whether the file has it as bytes without a type

    def __init__(self, storage: UntypedStorage, dtype: dtypes.dtype, start: int = 0, count: int | None = None):
        self._storage = storage
        self._start = start
        self._count = storage.nbytes() // dtype.itemsize - start if count is None else count
        self.dtype = dtype

    @property
    def device(self) -> devices.device:
        return self._storage.device

    def untyped(self) -> UntypedStorage:
        """The whole storage as bytes."""
        return self._storage

    def size(self) -> int:
        """The number of elements."""
        return self._count

    __len__ = size

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._count * self.dtype.itemsize

    def become_memory(self) -> None:
        """From now on, be a storage as those of tensors are, in the memory of the tensors that were loaded from the same bytes."""
        held = untyped_storage(blank(Tensor, self._storage.memory(self.dtype), None))
        start, size = self._start * self.dtype.itemsize, self.nbytes()
        if size != held.nbytes():
            held = held[start : start + size]
        self.__dict__ = {"_untyped": held, "dtype": self.dtype}
        self.__class__ = typed_memory.TypedStorage  # type: ignore[assignment]

    def _array(self) -> np.ndarray:
        return self._storage.array(self.dtype)[self._start : self._start + self._count]

    def __getitem__(self, index: int) -> Any:
        return self._array()[index].item()

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._array().tolist()

    def __repr__(self) -> str:
        return f"[torch.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self._count}]"


def restorer(map_location: Any) -> Callable[[UntypedStorage, str], UntypedStorage]:
    """What puts storages in their place, from `map_location`: None, a device, its name, a dict of names, a function."""
    if map_location is None:
        return _restore
    if isinstance(map_location, (str, devices.device)):
        return lambda storage, tag: _restore(storage, str(map_location))
    if isinstance(map_location, dict):
        return lambda storage, tag: _restore(storage, str(map_location.get(tag, tag)))
    if not callable(map_location):
        raise TypeError(
            f"map_location should be a device, its name, a dict or a function, got {type(map_location).__name__}"
        )

    def by_function(storage: UntypedStorage, tag: str) -> UntypedStorage:
        placed = map_location(storage, tag)
        if placed is None:
            return _restore(storage, tag)
        if isinstance(placed, TypedStorage):
            placed = placed.untyped()
        if not isinstance(placed, UntypedStorage) or placed.nbytes() != storage.nbytes():
            raise TypeError(f"map_location should return the storage, moved, or None; it returned {brief(placed)}")
        return placed

    return by_function


def _restore(storage: UntypedStorage, tag: str) -> UntypedStorage:
    if (found := settings.placed(storage, tag)) is not None:
        return found
    try:
        target = devices.device(tag)
    except RuntimeError as e:
        brief_tag = brief(tag).strip("'")
        raise RuntimeError(
            f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {brief_tag}), "
            "which names no device. "
            "Name one, as in torch.load(..., map_location='cpu')"
        ) from e
    return storage.to(target)
