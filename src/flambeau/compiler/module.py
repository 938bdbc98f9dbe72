"""A compiled module: what `compile(model)` returns."""

from __future__ import annotations

from typing import Any

from ..nn.modules.module import Module
from .compiled import Compiled

# Of what a module has, what this one has for itself; everything else is set on the original.
_OWN = frozenset(vars(Module())) - {"training"}
_OWN |= {"_orig_mod", "_compiled", "_settings", "__class__"}


class OptimizedModule(Module):
    """Calls the original module (`_orig_mod`) as a compiled function.

    Attributes are the original's, read, set and deleted. Copies and pickles compile anew.
    """

    def __init__(self, module: Module, **settings: Any):
        super().__init__()
        self._orig_mod = module
        self._begin(settings)

    def _begin(self, settings: dict[str, Any]) -> None:
        self.__dict__["_settings"] = settings
        self.__dict__["_compiled"] = Compiled(self._orig_mod.__call__, **settings)

    @property
    def training(self) -> bool:  # type: ignore[override]
        return self._orig_mod.training

    @training.setter
    def training(self, mode: bool) -> None:
        if "_orig_mod" in self._modules:
            self._orig_mod.training = mode

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
            return super().__call__(*args, **kwargs)
        return self._compiled(*args, **kwargs)  # global hooks have their turn in there

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return super().__getattr__(name)
        return getattr(super().__getattr__("_orig_mod"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or name == "training":
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        del state["_compiled"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._begin(state["_settings"])
