"""What packages decorate their own ONNX forms with. Those forms belong to TorchScript's exporter, which is not here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def parse_args(*arg_descriptors: str) -> Callable[[Any], Any]:
    """A decorator that leaves the function as it is: nobody calls it here."""
    return lambda function: function


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from ._symbolic import refused

    return refused(name)
