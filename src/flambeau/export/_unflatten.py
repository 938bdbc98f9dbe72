"""`torch.export.unflatten`: an exported program as a module again. The modules inside it are not told apart."""

from __future__ import annotations

import abc
from typing import Any

from ..fx import GraphModule, Interpreter
from ..nn.modules.module import Module
from ..runtime.absent import refuse as _refuse
from .exported_program import ExportedProgram

__all__ = ["FlatArgsAdapter", "InterpreterModule", "UnflattenedModule", "unflatten"]


class FlatArgsAdapter(abc.ABC):
    """Changes the flat inputs of a call before an unflattened module gets them."""

    @abc.abstractmethod
    def adapt(self, target_spec: Any, input_spec: Any, input_args: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """The inputs that the module takes."""


class UnflattenedModule(Module):
    """A module with the parameters under their own names, which runs the program's graph as a whole."""

    def __init__(self, export_module: ExportedProgram, flat_args_adapter: Any = None):
        super().__init__()
        if flat_args_adapter is not None:
            raise NotImplementedError("torch.export.unflatten: flat_args_adapter is not supported")
        runs = export_module.module()
        self.__dict__["_runs"] = runs
        self._parameters, self._buffers, self._modules = runs._parameters, runs._buffers, runs._modules
        self._non_persistent_buffers_set = runs._non_persistent_buffers_set

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_runs"](*args, **kwargs)


class InterpreterModule(Module):
    """A module that interprets a graph node by node."""

    def __init__(self, graph: Any):
        super().__init__()
        self.graph = graph

    def forward(self, *args: Any) -> Any:
        return Interpreter(GraphModule(self, self.graph), graph=self.graph).run(*args)


def unflatten(module: ExportedProgram, flat_args_adapter: Any = None) -> UnflattenedModule:
    """The program as a module: parameters have their names, and `train` and `eval` change nothing of what is computed."""
    return UnflattenedModule(module, flat_args_adapter)


_refuse(
    globals(),
    "a module that is called several times is one module here",
    "InterpreterModuleDispatcher ",
)
