"""`torch.fx.passes`: passes over graphs. Each is imported when it is first asked for."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

_PARTS = frozenset(module.name for module in pkgutil.iter_modules(__path__))


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _PARTS:
            return importlib.import_module(f"{__package__}.{name}")
        raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
