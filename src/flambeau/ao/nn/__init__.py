"""`torch.ao.nn`: layers for quantization. Those that compute with floats are here, the others are refused by name."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["intrinsic", "qat", "quantizable", "quantized", "sparse"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
