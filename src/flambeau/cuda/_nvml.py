"""NVIDIA's management library, if it is installed."""

from __future__ import annotations

from typing import Any

from ._devices import index_of, required


def handle(device: Any) -> tuple[Any, Any]:
    """The library and a GPU in it. ModuleNotFoundError without the library."""
    try:
        import pynvml  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "nvidia-ml-py does not seem to be installed or it can't be imported: `pip install nvidia-ml-py`"
        ) from None
    required(index_of(device))
    pynvml.nvmlInit()
    return pynvml, pynvml.nvmlDeviceGetHandleByIndex(index_of(device))
