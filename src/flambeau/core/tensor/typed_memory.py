"""`TypedStorage`: a tensor's whole memory as elements of a dtype, and its old names such as `FloatStorage`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..array import dtypes
from ..context.warned import warn_once
from .memory import Memory, UntypedStorage, bytes_of, checked_index, overwrite, read_buffer, untyped_storage
from .tensor import Tensor, from_host

_BYTE = np.dtype(np.uint8)

_FORMS = """TypedStorage.__init__ received an invalid combination of arguments. Expected one of:
 * (*, torch.device device, torch.dtype dtype)
 * (int size, *, torch.device device, torch.dtype dtype)
 * (Sequence data, *, torch.device device, torch.dtype dtype)
 * (*, UntypedStorage wrap_storage, torch.dtype dtype)
"""


class TypedStorage(Memory):
    """A tensor's memory as elements of a dtype: of n new ones, of a sequence, or of a storage of bytes."""

    __module__ = "flambeau.storage"
    _untyped: UntypedStorage
    dtype: Any

    def __init__(self, *args: Any, device: Any = None, dtype: Any = None, wrap_storage: Any = None):
        if wrap_storage is not None:
            if args:
                raise RuntimeError(f"{_FORMS}No positional arguments should be given when using 'wrap_storage'")
            if dtype is None:
                raise RuntimeError(f"{_FORMS}Argument 'dtype' must be specified")
            if device is not None:
                raise RuntimeError(f"{_FORMS}Argument 'device' should not be specified when 'wrap_storage' is given")
            if not isinstance(wrap_storage, UntypedStorage):
                raise TypeError(f"{_FORMS}Argument 'wrap_storage' must be UntypedStorage, but got {type(wrap_storage)}")
            self._untyped, self.dtype = wrap_storage, dtype
            return
        if len(args) > 1:
            raise RuntimeError(f"{_FORMS}Too many positional arguments")
        self.dtype = dtype or dtypes.get_default_dtype()
        data = args[0] if args else 0
        if isinstance(data, (str, bytes)):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
        if isinstance(data, int):
            self._untyped = UntypedStorage(data * self.dtype.itemsize, device=device)
            return
        if not isinstance(data, (Sequence, Memory)):
            raise TypeError(f"{_FORMS}Argument type not recognized: {type(data)}")
        values = np.array(list(data)).astype(self.dtype.numpy)
        self._untyped = UntypedStorage(values.reshape(-1).view(_BYTE).data, device=device)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return self._untyped

    def element_size(self) -> int:
        """The bytes of one element."""
        return self.dtype.itemsize

    def _elements(self) -> np.ndarray:
        data = bytes_of(self._untyped._cell)
        return data[: len(data) // self.dtype.itemsize * self.dtype.itemsize].view(self.dtype.numpy)

    def pickle_storage_type(self) -> str:
        """The name of the class for this dtype, such as FloatStorage."""
        return f"{self.dtype.abbr}Storage"

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the storage type; with one (or its class), the elements converted to it."""
        if dtype is None:
            return f"torch.{self.pickle_storage_type()}"
        kind = LEGACY.get(dtype.rpartition(".")[2]) if isinstance(dtype, str) else dtype
        if not isinstance(kind, type) or not issubclass(kind, LegacyStorage):
            raise TypeError(f"{dtype!r} is no storage type")
        return _converter(kind.dtype)(self)

    def clone(self) -> TypedStorage:
        """A copy in memory of its own."""
        return TypedStorage(wrap_storage=self._untyped.clone(), dtype=self.dtype)

    __copy__ = clone

    def __deepcopy__(self, memo: dict[int, Any]) -> TypedStorage:
        return TypedStorage(wrap_storage=copy.deepcopy(self._untyped, memo), dtype=self.dtype)

    def __reduce__(self) -> Any:
        return _typed_from_pickle, (self._untyped, self.dtype)

    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        """Overwrite all by another storage's bytes, of which there are as many."""
        self._like(source)
        return self

    def fill_(self, value: Any) -> TypedStorage:
        """Overwrite every element."""
        self[:] = value
        return self

    def resize_(self, size: int) -> None:
        """Another number of elements, as `UntypedStorage.resize_`."""
        self._untyped.resize_(size * self.dtype.itemsize)

    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """The elements on a device; itself if they are there."""
        moved = self._untyped.to(device=device)
        return self if moved is self._untyped else TypedStorage(wrap_storage=moved, dtype=self.dtype)

    def cpu(self) -> TypedStorage:
        """The elements on the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> TypedStorage:
        """The elements on a GPU."""
        return self.to(device="cuda" if device is None else device)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(index, int):
            raise RuntimeError(f"can't index a {type(self)} with {type(index)}")
        return self._elements()[checked_index(index, self.size())].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, (int, slice)):
            raise RuntimeError(f"can't index a {type(self)} with {type(index)}")
        values = self._elements().copy()
        if isinstance(index, int) and not -len(values) <= index < len(values):
            raise IndexError(f"index {index} is out of bounds for dimension 0 with size {len(values)}")
        values[index] = value
        overwrite(self._untyped._cell, 0, values.view(_BYTE))

    @classmethod
    def from_buffer(
        cls, buffer: Any, byte_order: Any = None, count: int = -1, offset: int = 0, *, dtype: Any = None
    ) -> TypedStorage:
        """A copy of elements, turned into this machine's byte order."""
        dtype = getattr(cls, "dtype", None) or dtype or dtypes.get_default_dtype()
        if byte_order is None and dtype.itemsize > 1:
            raise RuntimeError("function missing required argument 'byte_order' (pos 2)")
        return TypedStorage(wrap_storage=read_buffer(buffer, byte_order, count, offset, dtype), dtype=dtype)

    _from_buffer = from_buffer  # its name where nothing is to be warned of

    @classmethod
    def from_file(cls, filename: Any, shared: bool, size: int) -> TypedStorage:
        """The first elements of a file, as `UntypedStorage.from_file`; a method of FloatStorage and its like."""
        dtype = getattr(cls, "dtype", None)
        if dtype is None:
            raise RuntimeError("from_file can only be called on derived classes")
        return TypedStorage(wrap_storage=UntypedStorage.from_file(filename, shared, size * dtype.itemsize), dtype=dtype)

    def __repr__(self) -> str:
        return self._text(f"TypedStorage(dtype={self.dtype}, device={self.device}")


def _typed_from_pickle(untyped: UntypedStorage, dtype: dtypes.dtype) -> TypedStorage:
    return TypedStorage(wrap_storage=untyped, dtype=dtype)


class _LegacyKind(type):
    """`isinstance(storage, FloatStorage)` asks for a TypedStorage of that dtype on that kind of device."""

    dtype: dtypes.dtype
    device_type: str | None

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TypedStorage) and (
            cls is LegacyStorage
            or (instance.dtype is cls.dtype and cls.device_type in (None, instance._untyped.device.type))
        )


class LegacyStorage(TypedStorage, metaclass=_LegacyKind):
    """What `torch.FloatStorage` and its like have in common. Calling one gives a `TypedStorage` of its dtype."""

    dtype: ClassVar[Any] = None  # type: ignore[misc]
    device_type: ClassVar[str | None] = None

    def __new__(cls, *args: Any, wrap_storage: Any = None) -> Any:
        cls.dtype.numpy  # noqa: B018  (NotImplementedError for dtypes that tensors don't have)
        return TypedStorage(*args, dtype=cls.dtype, wrap_storage=wrap_storage, device=cls.device_type)


def _legacy(d: dtypes.dtype, device_type: str | None) -> Any:
    where = "" if device_type is None else f" on the {device_type}"
    space = {
        "dtype": d,
        "device_type": device_type,
        "__module__": "torch" if device_type is None else f"torch.{device_type}",
        "__doc__": f"Memory of {d} elements{where}; what it makes is a TypedStorage.",
    }
    return _LegacyKind(f"{d.abbr}Storage", (LegacyStorage,), space)


_OF_DTYPES = [d for d in dtypes.DTYPES if d not in (dtypes.uint16, dtypes.uint32, dtypes.uint64)]
LEGACY: dict[str, Any] = {f"{d.abbr}Storage": _legacy(d, None) for d in _OF_DTYPES}
CUDA_LEGACY: dict[str, Any] = {name: _legacy(kind.dtype, "cuda") for name, kind in LEGACY.items()}
QUANTIZED_LEGACY: dict[str, Any] = {
    f"{d.abbr}Storage": _legacy(d, None) for d in dtypes.OPAQUE if d.abbr.startswith("Q")
}


# --- of tensors ---------------------------------------------------------------------------------------------------------


_DEPRECATED = (
    "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. This "
    "should only matter to you if you are using storages directly.  To access UntypedStorage directly, use "
    "tensor.untyped_storage() instead of tensor.storage()"
)


def _typed(tensor: Tensor) -> TypedStorage:
    return TypedStorage(wrap_storage=untyped_storage(tensor), dtype=tensor.dtype)


def storage(tensor: Tensor) -> TypedStorage:
    """The memory that a tensor looks into, which other tensors may look into too, as elements of its dtype."""
    warn_once(_DEPRECATED)
    return _typed(tensor)


Tensor._cdata = property(id)  # type: ignore[attr-defined]  # a number that no other tensor has while this one lives
Tensor._typed_storage = _typed  # type: ignore[attr-defined]
Tensor.storage = storage  # type: ignore[attr-defined]


def _storage_type(self: Tensor) -> Any:
    """The old class of storages of this dtype, as `torch.FloatStorage`."""
    return LEGACY[f"{self.dtype.abbr}Storage"]


Tensor.storage_type = _storage_type  # type: ignore[attr-defined]


def _converter(dtype: dtypes.dtype) -> Any:
    def convert(self: Memory) -> TypedStorage:
        return _typed(from_host(self._elements().astype(dtype.numpy)))

    convert.__doc__ = f"The elements as a storage of {dtype}; a copy."
    return convert


_CONVERSIONS = {
    "bfloat16": dtypes.bfloat16, "bool": dtypes.bool, "byte": dtypes.uint8, "char": dtypes.int8,
    "complex_double": dtypes.complex128, "complex_float": dtypes.complex64, "double": dtypes.float64,
    "float": dtypes.float32, "half": dtypes.float16, "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16,
}  # fmt: skip
for _name, _dtype in _CONVERSIONS.items():
    setattr(Memory, _name, _converter(_dtype))
