"""Where in a network the program is: the paths of the modules whose forward runs, or whose gradients are computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from flambeau.core.context.grad_mode import state
from flambeau.nn.modules.module import (
    Module,
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

__all__ = ["ModuleTracker"]

GLOBAL = "Global"


class ModuleTracker:
    """While entered, `parents` holds the paths of the modules that are running now, and `"Global"`.

    A path begins with the class of the module that was called first, as in `"Sequential.0"`. The gradients of a call belong
    to the modules in which the call was made.
    """

    def __init__(self) -> None:
        self.parents: set[str] = {GLOBAL}
        self.path: str = ""  # of the innermost module
        self._names: weakref.WeakKeyDictionary[Module, str] = weakref.WeakKeyDictionary()
        self._stack: list[tuple[Module, set[str], str]] = []
        self._recorded: weakref.WeakKeyDictionary[Any, tuple[set[str], str]] = weakref.WeakKeyDictionary()
        self._backward = 0
        self._active = False

    @property
    def is_bw(self) -> bool:
        """Whether gradients are being computed."""
        return self._backward > 0

    def __enter__(self) -> ModuleTracker:
        if self._active:
            raise RuntimeError("this ModuleTracker is entered already: make another one")
        self._active = True
        self._hooks = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        self._before = state.watchers, state.node_observer
        state.watchers = (*state.watchers, self._remember)
        state.node_observer = self._run_node
        return self

    def __exit__(self, *exc: object) -> None:
        state.watchers, state.node_observer = self._before
        for hook in self._hooks:
            hook.remove()
        self.parents, self.path, self._active = {GLOBAL}, "", False
        self._stack.clear()

    def name_of(self, module: Module) -> str:
        """The path of a module; its children are named after it when it is first met."""
        found = self._names.get(module)
        if found is None:
            root = type(module).__name__
            for path, inner in module.named_modules():
                self._names.setdefault(inner, f"{root}.{path}" if path else root)
            found = self._names[module]
        return found

    def _enter_module(self, module: Module, args: Any) -> None:
        self._stack.append((module, self.parents, self.path))
        self.path = self.name_of(module)
        self.parents = self.parents | {self.path}

    def _leave_module(self, module: Module, args: Any, output: Any) -> None:
        while self._stack:  # a module that failed may have left without a word
            inner, self.parents, self.path = self._stack.pop()
            if inner is module:
                break

    def _remember(self, node: Any, outputs: Any) -> None:
        self._recorded[node] = self.parents, self.path

    _remember.takes_programs = True  # type: ignore[attr-defined]  # a compiled function is one node to it

    def _run_node(self, node: Any, run: Callable[[], Any]) -> Any:
        before = self.parents, self.path
        self.parents, self.path = self._recorded.get(node, before)
        self._backward += 1
        try:
            outer = self._before[1]
            return run() if outer is None else outer(node, run)
        finally:
            self._backward -= 1
            self.parents, self.path = before
