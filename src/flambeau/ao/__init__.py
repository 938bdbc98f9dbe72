"""`torch.ao`: pruning, and of quantization the parts that compute with floats; what needs quantized tensors is refused by name."""

from __future__ import annotations

import importlib
from typing import Any

from . import quantization

__all__ = ["nn", "pruning", "quantization"]


def __getattr__(name: str) -> Any:
    if name in ("nn", "pruning"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
