"""Two tensors that change places: each object becomes what the other one was."""

from __future__ import annotations

import copyreg
import weakref
from typing import Any

from ..context.grad_mode import state as grad_state
from ..context.tracing import Untraceable, structure
from ..tape.nodes import NOBODY, AccumulateGrad
from .tensor import Tensor

_KEPT = ("__dict__", "__weakref__")


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Swap two tensors: values, gradients, hooks, attributes and classes. Who holds either object then holds the other's.

    TypeError if one is no tensor, RuntimeError if one class has slots that the other lacks. Not to be compiled.
    """
    for tensor in (t1, t2):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"swap_tensors takes two tensors, got {type(tensor).__name__}")
    if grad_state.trace is not None:
        raise Untraceable("swap_tensors gives tensors other identities: call it outside")
    names = set(copyreg._slotnames(type(t1)))  # type: ignore[attr-defined]
    if names != set(copyreg._slotnames(type(t2))):  # type: ignore[attr-defined]
        raise RuntimeError("Cannot swap {} and {} if they have different slots".format("t1", "t2"))
    structure.version += 1
    for name in (*(n for n in Tensor.__slots__ if n not in _KEPT), *(names - set(Tensor.__slots__))):
        _swap(t1, t2, name)
    attributes = dict(t1.__dict__)
    for mine, new in ((t1.__dict__, dict(t2.__dict__)), (t2.__dict__, attributes)):
        mine.clear()
        mine.update(new)
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__  # type: ignore[assignment]
    for tensor in (t1, t2):
        for node in (tensor._edge[0] if tensor._edge is not None else None, tensor._frozen):
            if type(node) is AccumulateGrad and node.leaf is not NOBODY:
                node.leaf = weakref.ref(tensor)


def _swap(t1: Any, t2: Any, name: str) -> None:
    values = [getattr(t, name, _swap) for t in (t2, t1)]
    for tensor, value in zip((t1, t2), values, strict=True):
        if value is not _swap:
            object.__setattr__(tensor, name, value)
        elif hasattr(tensor, name):
            object.__delattr__(tensor, name)
