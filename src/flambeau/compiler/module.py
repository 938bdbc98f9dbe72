"""A compiled module: what `compile(model)` returns."""

from __future__ import annotations

from typing import Any

from ..nn.modules.module import Module
from .compiled import Compiled


class OptimizedModule(Module):
    """Calls the original module (`_orig_mod`) as a compiled function; everything else is the original's."""

    def __init__(self, module: Module, fullgraph: bool):
        super().__init__()
        self._orig_mod = module
        self.__dict__["_compiled"] = Compiled(module.__call__, fullgraph)
        self.train(module.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(super().__getattr__("_orig_mod"), name)
