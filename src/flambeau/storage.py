"""Storages, under torch's module path."""

import io
from typing import Any

from .checkpoint import load
from .core.tensor.memory import UntypedStorage
from .core.tensor.typed_memory import TypedStorage

__all__ = ["StorageBase", "TypedStorage", "UntypedStorage"]


class _Kind(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, UntypedStorage)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, UntypedStorage)


class StorageBase(metaclass=_Kind):
    """The name of libtorch's storages: `isinstance` says whether something is an UntypedStorage."""

    __module__ = "flambeau._C"

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(
            "Cannot directly construct StorageBase; subclass it and then construct that: take UntypedStorage"
        )


def _load_from_bytes(b: bytes) -> Any:
    """The storage in what `torch.save` wrote, which is how a pickle of Python's own (`pickle.dumps(tensor)`) holds it."""
    return load(io.BytesIO(b), weights_only=False)
