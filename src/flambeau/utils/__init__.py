"""What surrounds training: data loading, activation checkpointing, hooks, summaries. Submodules load when they are first used."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from flambeau.core.tensor.swapping import swap_tensors as swap_tensors
from flambeau.utils import data

cmake_prefix_path: str = str(
    Path(__file__).resolve().parents[1] / "share" / "cmake"
)  # what lies there says that there is no libtorch
_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))

_HOMES = {
    "ThroughputBenchmark": "throughput_benchmark",
    "get_cpp_backtrace": "_c_frames",
    "generate_methods_for_privateuse1_backend": "backend_registration",
    "rename_privateuse1_backend": "backend_registration",
}


def set_module(obj: Any, mod: str) -> None:
    """Say of a class or a function that it is of the module `mod`. TypeError for a name that is no text."""
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__package__}.{_HOMES[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_HOMES})
