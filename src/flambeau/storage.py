"""Storages, under torch's module path."""

from .core.memory import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
