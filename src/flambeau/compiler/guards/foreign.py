"""State that packages in C keep where nobody can watch it: fields of `ctypes`, elements of XML trees, mapped memory, settings of NumPy."""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

import numpy as np

from ...core.context.generator import Generator
from ...core.context.grad_mode import state as grad_state
from .places import in_class, is_python_class

# Those whose types are watched, or can't change.
_KNOWN = frozenset(
    (__name__.partition(".")[0], "builtins", "collections", "_collections", "re", "types", "typing", "numpy", "jax", "jaxlib", "_jax")
) | frozenset("array itertools functools operator datetime decimal weakref enum sqlite3 ml_dtypes".split())  # fmt: skip


def _is_foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] not in _KNOWN


def is_field(raw: Any) -> bool:
    """Whether a descriptor looks into the memory of such a package."""
    kind = type(raw)
    if isinstance(raw, (GetSetDescriptorType, MemberDescriptorType)):
        return _is_foreign(raw.__objclass__) and not is_python_class(raw.__objclass__)
    return hasattr(kind, "__set__") and not is_python_class(kind) and _is_foreign(kind)


def refuse_field(watcher: Any, owner: Any, name: str) -> None:
    """End the trace: the code reads or sets a field of an object that was there before."""
    watcher.refuse(f"it uses {name!r} of a {type(owner).__name__}, which code in C keeps where nobody can watch it")


def look_into(watcher: Any, owner: Any, *names: str) -> None:
    """Refuse to look into an object, by these methods, that such a package keeps and that was there before."""
    if not watcher.is_old(owner):
        return
    for name in names:
        raw = in_class(type(owner), name)
        if isinstance(raw, (WrapperDescriptorType, MethodDescriptorType)) and _is_foreign(raw.__objclass__):
            watcher.refuse(f"it looks into a {type(owner).__name__}, which code in C keeps where nobody can watch it")


def show(value: Any) -> None:
    """Note that a value is written as text: how NumPy's numbers look is a setting of NumPy's; a generator shows its seed."""
    if isinstance(value, np.ndarray):
        grad_state.trace.guard(np.get_printoptions, "NumPy prints otherwise now")
    elif isinstance(value, Generator):
        grad_state.trace.guard(value.initial_seed, "a random generator has another seed now")
    elif isinstance(value, tuple):
        for part in value:
            show(part)


__all__ = ["is_field", "look_into", "refuse_field", "show"]
