"""Storages, under torch's module path."""

from .core.memory import UntypedStorage
from .core.typed_memory import TypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
