"""Forms of TorchScript's exporter, by opset: names that packages import, and that raise when they are called."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any


def refused(name: str) -> Any:
    """A function that raises NotImplementedError."""

    def form(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"torch.onnx's form {name!r}: TorchScript's exporter is not here; torch.onnx.export writes graphs of torch's functions"
        )

    form.__name__ = form.__qualname__ = name
    return form


@functools.cache
def opset(name: str) -> ModuleType:
    """The module of an opset's forms."""
    made = ModuleType(name, "Forms of one opset, which raise when they are called.")

    def __getattr__(form: str) -> Any:
        if form.startswith("__"):
            raise AttributeError(form)
        return refused(form)

    made.__getattr__ = __getattr__  # type: ignore[method-assign]
    return made
