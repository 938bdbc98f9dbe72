"""`torch.onnx.ExportableModule`: a module that knows with what it is exported."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from ..nn.modules.module import Module


class ExportableModule(Module, abc.ABC):
    """A module with its example and the names and sizes of its ONNX model. `torch.onnx.export(module)` asks it for them."""

    @abc.abstractmethod
    def example_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Positional arguments of a call, and keyword arguments or None."""

    def dynamic_shapes(self) -> Any:
        """Which sizes may change, as `torch.onnx.export` takes it; none."""
        return None

    def input_names(self) -> Sequence[str] | None:
        """The inputs' names; those of `forward`."""
        return None

    def output_names(self) -> Sequence[str] | None:
        """The outputs' names; made up."""
        return None

    def to_onnx(self, **kwargs: Any) -> Any:
        """The ONNX model, with more options of `torch.onnx.export`."""
        from ._export import export

        return export(self, **kwargs)


def told_by(module: Any, args: Any, given: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """The arguments of an export, then keywords, names of inputs and outputs, and sizes; what isn't given is the module's own."""
    if not isinstance(module, ExportableModule):
        return args, given
    example, keywords = module.example_arguments()
    own = (keywords, module.input_names(), module.output_names(), module.dynamic_shapes())
    return args or example, tuple(mine if told is None else told for mine, told in zip(own, given, strict=True))
