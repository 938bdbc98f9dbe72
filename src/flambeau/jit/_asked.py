"""Where code asks for the values of tensors: a trace has them as constants, as PyTorch's TracerWarning says of each such line."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from ..core.dispatch.messages import message
from ..overrides import TorchFunctionMode

_LIBRARY = os.path.dirname(os.path.dirname(__file__)) + os.sep
KINDS = {
    "__bool__": "Python boolean",
    "__int__": "Python integer",
    "__float__": "Python float",
    "__complex__": "Python complex",
    "__index__": "Python index",
    "item": "Python number",
    "tolist": "Python list",
    "numpy": "NumPy array",
    "__array__": "NumPy array",
}


def place() -> tuple[str, int]:
    """The file and the line of the code outside of the library that runs now."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARY):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("<unknown>", 0)


def tell(kind: str, where: tuple[str, int], category: type[Warning], added: str = "") -> None:
    """Warn of a line that asks for a value."""
    warnings.warn_explicit(message("trace_of_a_value", kind=kind) + added, category, *where)


class TellOfValues(TorchFunctionMode):
    """While it is entered, each line that asks for values is told of."""

    def __init__(self, category: type[Warning]):
        super().__init__()
        self.category = category

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        kind = KINDS.get(name) if name != "__index__" else None  # of which PyTorch's trace says nothing
        if kind is not None and (where := place())[0] != "<unknown>":
            tell(
                kind,
                where,
                self.category,
                " (Here the code runs at each call; the value is a constant in the file of torch.jit.save.)",
            )
        return func(*args, **(kwargs or {}))
