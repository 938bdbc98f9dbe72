"""`UntypedStorage`: a tensor's whole memory as bytes, and addresses."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from ...runtime import files
from ..array import devices, dtypes
from ..array.geometry import Geometry, contiguous_strides
from ..array.host_memory import aligned
from ..array.meta import NOWHERE, MetaArray, is_meta
from ..context.grad_mode import state as grad_state
from ..context.tracing import Untraceable, refuse_in_trace
from .declared import DeclaredStorage
from .storage import ByteStorage, Storage, address, from_bytes, own, window
from .tensor import Tensor, blank

_new = object.__new__
_BYTE = np.dtype(np.uint8)


def data_ptr(cell: Storage) -> int:
    """The address of a cell's values. Raises RuntimeError where they are not there yet."""
    _check_concrete(cell, "the address of a tensor's memory")
    return 0 if not cell.on_host and is_meta(cell.value) else address(cell)


def _check_concrete(cell: Storage, what: str) -> None:
    if grad_state.trace is not None:
        raise Untraceable(f"{what} is not known while a function is being compiled: ask for it outside")
    if not cell.on_host and isinstance(cell.value, jax.core.Tracer):
        raise RuntimeError(f"{what} is not known inside a transform such as vmap: ask for it outside")


def bytes_of(cell: Storage) -> np.ndarray:
    """A cell's bytes, to be read."""
    _check_concrete(cell, "what a storage holds")
    array = cell.host if cell.volatile else np.asarray(cell.value)
    return np.ascontiguousarray(array).reshape(-1).view(_BYTE)


def overwrite(cell: Storage, start: int, data: Any) -> None:
    """Put bytes (or one, again and again) into a cell, off the tape."""
    _check_concrete(cell, "what a storage holds")
    stop = start + len(data)
    if cell.volatile:
        cell.host.reshape(-1).view(_BYTE)[start:stop] = data
        cell.version += 1
        return
    value = cell.value
    whole = aligned(value.nbytes)
    whole[:] = bytes_of(cell)
    whole[start:stop] = data
    if value.dtype == bool:
        whole = (whole != 0).view(_BYTE)
    made = whole.view(value.dtype).reshape(value.shape)
    cell.set(jax.device_put(made, value.sharding if value.committed else None))


def _nbytes(cell: Storage) -> int:
    return int(np.prod(cell.shape)) * cell.dtype.itemsize


def checked_index(index: Any, size: int) -> int:
    if not -size <= index < size:
        raise IndexError(f"index {index} out of range for storage of size {size}")
    return index % size if size else 0


class Memory:
    """What both kinds of storage have in common."""

    is_hpu = False
    is_sparse = False
    _of_file = False
    _filename: str | None = None

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        raise NotImplementedError

    def look(self, dtype: Any = None, size: Any = None, stride: Any = None, offset: int = 0) -> Tensor:
        """A tensor that looks into this memory, off the tape; all of it in a row unless told otherwise.

        Raises RuntimeError if it would look beyond the end.
        """
        held, target = self.untyped(), dtype.numpy
        if rest := held.nbytes() % target.itemsize:
            held = held[: held.nbytes() - rest]
        cell = held._cell
        if isinstance(cell, ByteStorage):
            cell.take_dtype(target)
        count = _nbytes(cell) // target.itemsize
        shape = (count,) if size is None else tuple(size)
        strides = contiguous_strides(shape) if stride is None else tuple(stride)
        g = Geometry(shape, strides, offset, target if isinstance(cell, ByteStorage) or cell.dtype != target else None)
        reach = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if g.numel and reach >= count:
            raise RuntimeError(
                f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset {offset}, and itemsize "
                f"{target.itemsize} requiring a storage size of {(reach + 1) * target.itemsize} are out of bounds for "
                f"storage of size {_nbytes(cell)}"
            )
        return blank(Tensor, cell, g)

    def data_ptr(self) -> int:
        """The address of the first byte; 0 if there is none. It holds until the tensors get new values."""
        cell = self.untyped()._cell
        return data_ptr(cell) if _nbytes(cell) else 0

    @property
    def _cdata(self) -> int:
        return id(self.untyped()._cell)

    @property
    def device(self) -> devices.device:
        """Where the values are."""
        cell = self.untyped()._cell
        return devices.CPU if cell.on_host else devices.from_jax(next(iter(cell.value.devices())))

    @property
    def is_cuda(self) -> bool:
        """Whether they are on a GPU."""
        return self.device.type == "cuda"

    @property
    def filename(self) -> str | None:
        """The file whose memory this is (`from_file(shared=True)`), or None."""
        return self.untyped()._filename

    def get_device(self) -> int | None:
        """The number of the GPU; None for the CPU."""
        return self.device.index

    def nbytes(self) -> int:
        """The number of bytes."""
        return _nbytes(self.untyped()._cell)

    def size(self) -> int:
        """The number of elements; bytes for an untyped storage."""
        return self.nbytes() // self.element_size()

    def element_size(self) -> int:
        """The bytes of one element."""
        raise NotImplementedError

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        return self._elements().tolist()

    def is_pinned(self, device: Any = None) -> bool:
        """Always False."""
        return False

    def is_shared(self) -> bool:
        """Whether it is a file's memory; no other memory is shared between processes."""
        return self.untyped()._of_file

    def resizable(self) -> bool:
        """Whether `resize_` is possible: not for a file's memory."""
        return not self.is_shared()

    def share_memory_(self) -> NoReturn:
        """Raises RuntimeError."""
        _not_shared()

    def pin_memory(self, device: Any = None) -> NoReturn:
        """Raises RuntimeError."""
        raise RuntimeError("Cannot access accelerator device when none is available: no memory is pinned here.")

    def _elements(self) -> np.ndarray:
        raise NotImplementedError

    def _moved(self, device: Any) -> UntypedStorage:
        place = devices.to_jax(devices.device(device))
        made = _new(UntypedStorage)
        cell = self.untyped()._cell
        if place is NOWHERE or self.device.type == "meta":
            made._cell = Storage(devices.put(MetaArray((_nbytes(cell),), _BYTE), place))
        else:
            made._cell = Storage(jax.device_put(bytes_of(cell), place))
        return made

    def _like(self, other: Any) -> None:
        if not isinstance(other, Memory):
            raise TypeError(f"copy_(): argument 'src' (position 1) must be torch.Storage, not {type(other).__name__}")
        if other.nbytes() != self.nbytes():
            raise RuntimeError(
                f"size does not match, self was {self.nbytes()} bytes but src was {other.nbytes()} bytes"
            )
        overwrite(self.untyped()._cell, 0, bytes_of(other.untyped()._cell))

    def __len__(self) -> int:
        return self.size()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def _text(self, what: str) -> str:
        if self.device.type == "meta":
            return f"...\n[torch.storage.{what}) of size {self.size()}]"
        return " " + "\n ".join(map(str, self.tolist())) + f"\n[torch.storage.{what}) of size {self.size()}]"


def _not_shared(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError(
        "no memory is shared between processes: flambeau's values are immutable arrays of XLA's. Send NumPy arrays over "
        "multiprocessing.shared_memory, or a file that both map (UntypedStorage.from_file(..., shared=True))"
    )


for _name in ("_share_fd_cpu_", "_share_filename_cpu_", "_share_cuda_", "_share_memory_"):
    setattr(Memory, _name, _not_shared)
for _name in ("_new_shared", "_new_shared_fd_cpu", "_new_shared_filename_cpu", "_new_shared_cuda"):
    setattr(Memory, _name, staticmethod(_not_shared))


# --- bytes ------------------------------------------------------------------------------------------------------------


class UntypedStorage(Memory):
    """A tensor's memory as bytes. `UntypedStorage(n)` is new memory of n bytes, a sequence of numbers gives the bytes."""

    __module__ = "flambeau.storage"
    is_sparse_csr = False
    _cell: Storage

    def __init__(self, *args: Any, device: Any = None, allocator: Any = None):
        if len(args) > 1:
            given = ", ".join(type(a).__name__ for a in args)
            raise TypeError(
                f"torch.UntypedStorage() received an invalid combination of arguments - got ({given}), but expected a "
                "size or a sequence of ints"
            )
        self._cell = from_bytes(_given(args[0] if args else 0))
        if device is not None and devices.device(device).type != "cpu":
            self._cell = self._moved(device)._cell

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def element_size(self) -> int:
        """Always 1."""
        return 1

    def _elements(self) -> np.ndarray:
        return bytes_of(self._cell)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._cell is other._cell

    def __hash__(self) -> int:
        return self._cdata

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop = self._range(index)
            if start == 0 and stop == self.nbytes():
                return self
            made = _new(UntypedStorage)
            made._cell = from_bytes(aligned(0)) if stop == start else self._window(start, stop)
            return made
        if not isinstance(index, int):
            raise TypeError(f"can't index a torch.UntypedStorage with {type(index).__name__}")
        if self.device.type == "meta":
            raise NotImplementedError("Not available for 'meta' device type")
        return int(bytes_of(self._cell)[checked_index(index, self.nbytes())])

    def _window(self, start: int, stop: int) -> Storage:
        if self.device.type != "cpu":
            raise RuntimeError("a part of a storage on a GPU is no storage of its own here: slice a tensor instead")
        _check_concrete(self._cell, "what a storage holds")
        return window(self._cell, start, stop)

    def _range(self, index: slice) -> tuple[int, int]:
        start, stop, step = index.indices(self.nbytes())
        if step != 1:
            raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
        return start, max(start, stop)

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, (int, slice)):
            raise RuntimeError(f"can't index a torch.UntypedStorage with {type(index).__name__}")
        if not isinstance(value, int):
            raise RuntimeError(f"can only set storage content with a int types, but got {type(value).__name__} instead")
        if isinstance(index, int):
            if not 0 <= index < self.nbytes():
                raise RuntimeError("out of bounds")
            index = slice(index, index + 1)
        start, stop = self._range(index)
        overwrite(self._cell, start, np.full(stop - start, value & 255, _BYTE))

    def fill_(self, value: int) -> UntypedStorage:
        """Overwrite every byte."""
        if not isinstance(value, int):
            raise RuntimeError(f"fill_ expects int, but got {type(value).__name__}")
        self[:] = value
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """Overwrite all bytes by another storage's, which has as many. TypeError or RuntimeError if it has not."""
        self._like(source)
        return self

    def clone(self) -> UntypedStorage:
        """A copy in memory of its own."""
        return self._moved(self.device)

    __copy__ = clone

    def __deepcopy__(self, memo: dict[int, Any]) -> UntypedStorage:
        key = ("flambeau storage", id(self._cell))  # what tensors' copies look into
        if key not in memo:
            cell = self._cell
            memo[key] = self.clone()._cell if isinstance(cell, ByteStorage) else Storage(cell.value)  # type: ignore[index]
        made = _new(UntypedStorage)
        made._cell = memo[key]  # type: ignore[index]
        return made

    def __reduce__(self) -> Any:
        return _from_pickle, (self.tolist(),)

    def new(self) -> UntypedStorage:
        """An empty storage."""
        return UntypedStorage()

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the storage type."""
        if dtype is not None:
            raise RuntimeError("a storage of bytes has no other type: use float() and its like, or a tensor's view()")
        return "torch.storage.UntypedStorage"

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """The bytes on a device; itself if they are there."""
        target = devices.device(device)
        return self if devices.to_jax(target) is devices.to_jax(self.device) else self._moved(target)

    def cpu(self) -> UntypedStorage:
        """The bytes on the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> UntypedStorage:
        """The bytes on a GPU."""
        return self.to(device="cuda" if device is None else device)

    def byteswap(self, dtype: dtypes.dtype) -> None:
        """Turn the bytes of each element of a type around (of each part, for complex numbers)."""
        unit = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
        if self.nbytes() % unit:
            raise RuntimeError(f"the length of data is not a multiple of {unit}")
        overwrite(self._cell, 0, bytes_of(self._cell).view(f"u{unit}").byteswap().view(_BYTE))

    def resize_(self, size: int) -> UntypedStorage:
        """Another number of bytes; what was there stays, as far as it goes.

        Raises RuntimeError for the memory of tensors, which do not know of their storage's size here, and for files.
        """
        if not isinstance(self._cell, ByteStorage) or not self.resizable():
            if size == self.nbytes():
                return self
            raise RuntimeError(
                "Trying to resize storage that is not resizable: the memory of a tensor keeps its size; use the tensor's "
                "resize_(), or set_() with another storage"
            )
        made, old = _given(size), bytes_of(self._cell)
        kept = min(len(old), len(made))
        made[:kept] = old[:kept]
        self._cell.host = made.view()
        self._cell.version += 1
        return self

    @classmethod
    def from_buffer(
        cls, buffer: Any, byte_order: str | None = None, count: int = -1, offset: int = 0, *, dtype: Any = None
    ) -> UntypedStorage:
        """A copy of the bytes of elements of a dtype, turned into this machine's byte order."""
        return read_buffer(buffer, byte_order, count, offset, dtype)

    @classmethod
    def from_file(cls, filename: str | os.PathLike[str], shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first bytes of a file, read when they are used. With `shared`, writes go into the file, which is made or
        made longer if need be; without, they are this storage's own.

        Raises RuntimeError if the file can't be opened or is too short.
        """
        refuse_in_trace("looks into a file (from_file)")
        made = cls()
        if nbytes:
            made._cell = from_bytes(_mapped(os.fspath(filename), shared, nbytes))
        made._of_file = True
        made._filename = os.fspath(filename) if shared else None
        return made

    def __repr__(self) -> str:
        return self._text(f"UntypedStorage(device={self.device}")


def _given(data: Any) -> np.ndarray:
    """New memory: n zeros, or the bytes of a sequence."""
    if isinstance(data, int) and not isinstance(data, bool):
        if data < 0:
            raise RuntimeError(
                f"alloc_cpu() seems to have been called with negative number: {data % 2**64}. A storage cannot have "
                f"a negative number of bytes: {data}"
            )
        made = aligned(data)
        made[:] = 0
        return made
    if isinstance(data, UntypedStorage):
        values = bytes_of(data._cell)
    elif isinstance(data, (bytes, bytearray, memoryview)):
        values = np.frombuffer(data, _BYTE)
    else:
        if not isinstance(data, Sequence):
            raise RuntimeError(f"torch.UntypedStorage(): Expected a sequence type, but got {type(data).__name__}")
        for item in data:
            if not isinstance(item, int):
                raise RuntimeError(
                    "torch.UntypedStorage(): tried to construct a storage from a sequence "
                    f"({type(data).__name__}), but one of the items was of type {type(item).__name__} instead of int"
                )
        values = np.array([item & 255 for item in data], _BYTE)
    made = aligned(values.size)
    made[:] = values
    return made


def _from_pickle(data: list[int]) -> UntypedStorage:
    return UntypedStorage(data)


def read_buffer(buffer: Any, order: Any, count: int, offset: int, dtype: Any) -> UntypedStorage:
    if dtype is None:
        raise RuntimeError("argument 'dtype' cannot be None")
    size, total = dtype.itemsize, memoryview(buffer).nbytes
    if order not in (None, "big", "little", "native") or (order is None and size > 1):
        raise ValueError(f"invalid byte_order '{order}' (expected 'big', 'little', or 'native')")
    if total and not 0 <= offset < total:
        raise ValueError(f"offset must be non-negative and no greater than buffer length ({total}) , but got {offset}")
    if count < 0:
        if (total - offset) % size:
            raise ValueError(f"buffer size ({total}) must be a multiple of element size ({size})")
        count = (total - offset) // size
    if offset + count * size > total:
        raise ValueError(f"buffer has only {total} elements after offset {offset}, but specified a size of {count}")
    made = UntypedStorage(bytes(memoryview(buffer).cast("B")[offset : offset + count * size]))
    if order in ("big", "little") and order != sys.byteorder:
        made.byteswap(dtype)
    return made


def _mapped(path: str, shared: bool, nbytes: int) -> np.ndarray:
    flags = os.O_RDWR | os.O_CREAT if shared else os.O_RDONLY
    try:
        number = os.open(path, flags, 0o600)
    except OSError as e:
        mode = "read-write" if shared else "read-only"
        raise RuntimeError(f"unable to open file <{path}> in {mode} mode: {e.strerror} ({e.errno})") from e
    try:
        size = os.fstat(number).st_size
        if size < nbytes:
            if not shared:
                raise RuntimeError(f"file <{path}> size <{size}> is smaller than the required mapping size <{nbytes}>")
            os.ftruncate(number, nbytes)
        access = mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY
        found = np.frombuffer(mmap.mmap(number, nbytes, access=access), _BYTE)
        files.note_map(number, found)
    finally:
        os.close(number)
    return found if shared else own(found)


# --- of tensors ---------------------------------------------------------------------------------------------------------


def untyped_storage(tensor: Tensor) -> UntypedStorage:
    """The memory that a tensor looks into, as bytes."""
    if grad_state.trace is not None:
        grad_state.trace.look_at_memory(tensor)
    made = _new(UntypedStorage)
    made._cell = tensor._storage
    return made


def _address(tensor: Tensor) -> int:
    """The address of the first element; 0 if there is none. It holds until the memory gets new values."""
    if not tensor.shape.numel() or tensor.is_meta or type(tensor._storage) is DeclaredStorage:  # type: ignore[attr-defined]
        return 0
    return data_ptr(tensor._storage) + tensor.storage_offset() * tensor._np_dtype.itemsize


Tensor.untyped_storage = untyped_storage  # type: ignore[attr-defined]
Tensor.data_ptr = _address  # type: ignore[attr-defined]
