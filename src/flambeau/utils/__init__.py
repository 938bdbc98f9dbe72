"""What surrounds training: data loading, activation checkpointing, hooks, summaries. Submodules load when they are first used."""

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


if TYPE_CHECKING:
    # isort: off
    from . import backend_registration as backend_registration, benchmark as benchmark, checkpoint as checkpoint
    from . import collect_env as collect_env, cpp_extension as cpp_extension, deterministic as deterministic
    from . import dlpack as dlpack, flop_counter as flop_counter, hooks as hooks
    from . import mobile_optimizer as mobile_optimizer, model_zoo as model_zoo, module_tracker as module_tracker
    from . import plot as plot, summary as summary, tensorboard as tensorboard
    from . import throughput_benchmark as throughput_benchmark, weak as weak

    # isort: on
    from ._c_frames import get_cpp_backtrace as get_cpp_backtrace
    from .backend_registration import (
        generate_methods_for_privateuse1_backend as generate_methods_for_privateuse1_backend,
    )
    from .backend_registration import rename_privateuse1_backend as rename_privateuse1_backend
    from .throughput_benchmark import ThroughputBenchmark as ThroughputBenchmark
else:

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(importlib.import_module(f"{__package__}.{_HOMES[name]}"), name)
        if name in _SUBMODULES:
            return importlib.import_module(f"{__package__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_HOMES})
