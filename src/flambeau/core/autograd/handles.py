"""Hooks in the order of registration, and what takes one out again."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

from ..context.grad_mode import state as grad_state
from ..context.tracing import structure


class RemovableHandle:
    """Takes a hook out again: `handle.remove()`, or at the end of `with handle:`."""

    __module__ = "flambeau.utils.hooks"
    next_id: int = 0

    def __init__(self, hooks: Any, *, extra_dict: Any = None):
        self.hooks_dict_ref: weakref.ref[Any] = weakref.ref(hooks)
        structure.version += 1
        self.id: int = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = extra_dict if isinstance(extra_dict, (list, tuple)) else [] if extra_dict is None else [extra_dict]
        self.extra_dict_ref: tuple[weakref.ref[Any], ...] = tuple(weakref.ref(e) for e in extras)

    def remove(self) -> None:
        """Take the hook out; a second time does nothing."""
        structure.version += 1
        if grad_state.trace is not None:
            grad_state.trace.change_hooks(self)
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        return (self.hooks_dict_ref(), self.id, tuple(r() for r in self.extra_dict_ref))

    def __setstate__(self, state: Any) -> None:
        hooks, self.id, extras = state[0], state[1], state[2] if len(state) > 2 else ()
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if e is None else e) for e in extras)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)


class Hooks(OrderedDict[int, Any]):
    """Hooks in the order of registration, by their handle's id."""

    def add(self, hook: Any) -> RemovableHandle:
        handle = RemovableHandle(self)
        self[handle.id] = hook
        return handle


__all__ = ["Hooks", "RemovableHandle"]
