"""The table that a module keeps a kind of hooks in."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import Any

from ...core.context.tracing import structure


def _telling(name: str) -> Any:
    written = getattr(OrderedDict, name)

    def write(self: Any, *args: Any, **kwargs: Any) -> Any:
        structure.version += 1
        return written(self, *args, **kwargs)

    write.__name__ = name
    return write


class HookTable(OrderedDict):
    """An OrderedDict that tells compiled programs of its changes, so that nobody looks whether it is still empty. Pickled as a plain one."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return OrderedDict, (), None, None, iter(self.items())

    def __deepcopy__(self, memo: Any) -> HookTable:
        made = memo[id(self)] = type(self)()
        made.update((deepcopy(key, memo), deepcopy(hook, memo)) for key, hook in self.items())
        return made

    def __copy__(self) -> HookTable:
        return type(self)(self)

    __setitem__ = _telling("__setitem__")
    __delitem__ = _telling("__delitem__")
    __ior__ = _telling("__ior__")
    clear = _telling("clear")
    move_to_end = _telling("move_to_end")
    pop = _telling("pop")
    popitem = _telling("popitem")
    setdefault = _telling("setdefault")
    update = _telling("update")


HookTable.__name__ = HookTable.__qualname__ = "OrderedDict"  # as it is printed
