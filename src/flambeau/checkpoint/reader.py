"""From the storage keys in a pickle to storages."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..core.array import dtypes
from . import names
from .errors import brief, damaged
from .storages import UNTYPED, StorageType, TypedStorage, UntypedStorage
from .unpickler import Opaque


class StorageKey(NamedTuple):
    """What a file says of a storage: ('storage', type, key, location, elements) and, long ago, a stretch of it."""

    type: StorageType
    key: str
    location: str
    numel: int
    view: tuple[str, int, int] | None

    @property
    def nbytes(self) -> int:
        return self.numel * self.type.itemsize

    @classmethod
    def parse(cls, parts: Any) -> StorageKey | None:
        """Checked; None for what is no storage but the old format's note of a module's source."""
        if type(parts) is tuple and len(parts) == 4 and parts[0] == "module":
            return None
        if type(parts) is not tuple or len(parts) not in (5, 6) or parts[0] != "storage":
            raise damaged(f"{brief(parts)} should tell of a storage")
        _, kind, key, location, numel = parts[:5]
        if isinstance(kind, Opaque) and kind.name is not None:
            if (reason := names.unsupported(*kind.name)) is not None:
                raise RuntimeError(f"this checkpoint cannot be loaded: {reason}")
            kind = names.TORCH.get(kind.name)
        if not isinstance(kind, StorageType):
            raise damaged(f"a storage's type should be one of torch's, got {brief(kind)}")
        if type(key) is not str or type(location) is not str or type(numel) is not int or not 0 <= numel < 2**60:
            raise damaged(f"a storage's description is wrong: {brief(parts[2:])}")
        view = parts[5] if len(parts) == 6 else None
        if view is not None:
            if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or type(view[2]) is not int:
                raise damaged(f"a stretch of a storage is wrong: {brief(view)}")
            if min(view[1:]) < 0 or view[1] + view[2] > numel:
                raise damaged(f"{brief(view)} reaches beyond a storage of {numel} elements")
        return cls(kind, key, location, numel, view)


class Storages:
    """The `persistent_load` of a file. A storage that is named twice is read once.

    `read(key)` gives the bytes, `size(key)` their number, `restore(storage, location)` puts them on a device.
    """

    def __init__(
        self,
        read: Callable[[str], np.ndarray],
        size: Callable[[str], int],
        restore: Callable[[UntypedStorage, str], UntypedStorage],
        swapped: bool = False,
    ):
        self._read = read
        self._size = size
        self._restore = restore
        self._swapped = swapped
        self._loaded: dict[str, UntypedStorage] = {}
        self._handed: list[weakref.ref[TypedStorage]] = []

    def __call__(self, parts: Any) -> Any:
        key = StorageKey.parse(parts)
        if key is None:
            return parts[1]
        storage = self._loaded.get(key.key)
        # the size is compared before anything is read, so that no claim of the file costs memory
        size = self._size(key.key) if storage is None else storage.nbytes()
        if size != key.nbytes:
            raise damaged(
                f"the storage {brief(key.key)} should have {key.nbytes} bytes "
                f"({key.numel} x {key.type.name}) but has {size}"
            )
        if storage is None:
            storage = UntypedStorage(self._read(key.key), swapped=self._swapped)
            self._loaded[key.key] = storage = self._restore(storage, key.location)
        dtype = dtypes.uint8 if key.type is UNTYPED else key.type.dtype
        made = TypedStorage(storage, dtype, *([] if key.view is None else key.view[1:]))
        made.of_bytes = key.type is UNTYPED
        self._handed.append(weakref.ref(made))
        return made

    def settle(self) -> None:
        """Make the storages that the loaded object holds by themselves what the library has for them."""
        for reference in self._handed:
            made = reference()
            if made is not None:
                made.become_memory()
