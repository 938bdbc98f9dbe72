"""`torch.ao`: of quantization the parts that compute with floats; what needs quantized tensors is refused by name."""

from __future__ import annotations

import importlib
from typing import Any

from . import quantization

__all__ = ["nn", "quantization"]


def __getattr__(name: str) -> Any:
    if name == "nn":
        return importlib.import_module(f"{__name__}.nn")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
