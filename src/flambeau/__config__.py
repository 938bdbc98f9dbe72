"""`torch.__config__`: what this was built with."""

from __future__ import annotations

import platform
from importlib.metadata import version

from .backends.cpu import get_cpu_capability
from .native import available as _native
from .runtime.threads import get_num_interop_threads, get_num_threads

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The versions of what computes, one in a line."""
    lines = [f"JAX {version('jax')}, jaxlib {version('jaxlib')} (XLA)", f"NumPy {version('numpy')}"]
    lines += [f"oneDNN {version('onednn-cpu-gomp')}" if _native() else "no native kernels: XLA's are used"]
    lines += [f"Python {platform.python_version()}", f"CPU capability usage: {get_cpu_capability()}"]
    return "\n".join(["flambeau, PyTorch's module system on XLA, with:", *(f"  - {line}" for line in lines)]) + "\n"


def parallel_info() -> str:
    """How many threads compute."""
    return (
        f"XLA and native kernels:\n\tget_num_threads() : {get_num_threads()}\n"
        f"\tget_num_interop_threads() : {get_num_interop_threads()}\n"
    )
