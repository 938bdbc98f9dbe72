"""`module.forward(x)` where `module(x)` is meant: hooks are passed over, which nobody notices otherwise.

Only a module that has had hooks is watched: its `forward` is an attribute of its own then, which looks whether the call
comes through the module's `__call__`. Pickles and copies do without it.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

HOOK_TABLES = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class _Calling(threading.local):
    def __init__(self) -> None:
        self.modules: list[Any] = []  # those with hooks that are being called, the innermost last


calling = _Calling()


class WatchedForward:
    """A module's `forward`, as its class has it."""

    __slots__ = ("__weakref__", "module", "told")

    def __init__(self, module: Any):
        self.module = module  # a circle, but `make_model().forward` has to keep its module
        self.told = False

    @property
    def __wrapped__(self) -> Any:
        return type(self.module).forward.__get__(self.module)

    def __getattr__(self, name: str) -> Any:
        if name in WatchedForward.__slots__:  # of one that is being copied
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.told:
            self._look()
        return self.__wrapped__(*args, **kwargs)

    def _look(self) -> None:
        module = self.module
        if any(called is module for called in calling.modules):
            return
        passed_over = [
            f"{len(module.__dict__[table])} in {table}" for table in HOOK_TABLES if module.__dict__.get(table)
        ]
        if passed_over:
            self.told = True
            name = type(module).__name__
            warnings.warn(
                f"{name}.forward(...) was called directly, which passes over the hooks of this module "
                f"({', '.join(passed_over)}). Call the module itself: `module(...)` instead of `module.forward(...)`.",
                stacklevel=3,
            )


def watch(module: Any) -> None:
    """From now on, tell of direct calls of this module's `forward`, unless that is an attribute of the user's."""
    if "forward" not in module.__dict__:
        module.__dict__["forward"] = WatchedForward(module)


def without_watch(state: Any) -> Any:
    """A module's state for a pickle or a copy."""
    if isinstance(state, dict) and type(state.get("forward")) is WatchedForward:
        return {name: value for name, value in state.items() if name != "forward"}
    return state
