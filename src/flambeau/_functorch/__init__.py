"""Parts of `torch.func` under the names of PyTorch's own package. A part is imported when it is first asked for."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

_PARTS = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
