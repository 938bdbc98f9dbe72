"""What surrounds training: data loading, activation checkpointing, hooks, summaries. Submodules load when they are first used."""

import importlib
import pkgutil
from typing import Any

from flambeau.core.tensor.swapping import swap_tensors
from flambeau.utils import data

_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
