"""`torch.jit._recursive`: names of TorchScript's compiler that packages hold on to."""

from __future__ import annotations

from typing import Any

from ..nn.modules.module import Module
from ._script import RecursiveScriptModule, as_script, tell


class ConcreteTypeStore:
    """TorchScript's types of modules: none are made, so it is empty."""

    def __init__(self) -> None:
        self.type_store: dict[type, list[Any]] = {}
        self.methods_compiled: set[Any] = set()


concrete_type_store = ConcreteTypeStore()


def create_script_module(
    nn_module: Module, stubs_fn: Any, share_types: bool = True, is_tracing: bool = False
) -> RecursiveScriptModule:
    """What `torch.jit.script` makes of a module."""
    tell()
    return as_script(nn_module)


def wrap_cpp_module(cpp_module: Any) -> Any:
    """A scripted module as it is."""
    return cpp_module
