"""The safetensors format, through its own library's NumPy interface (imported where it is used)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ..core import devices
from ..core.tensor import Tensor, wrap

_MISSING = "safetensors files need the package safetensors: pip install safetensors"


def load_safetensors(f: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors in a file, by name. Raises RuntimeError if it is damaged, FileNotFoundError if it is not there."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as e:
        raise ImportError(_MISSING) from e
    place = devices.to_jax(devices.device(device))
    try:
        arrays = load_file(f)
    except SafetensorError as e:
        raise RuntimeError(f"the safetensors file {os.fspath(f)} is damaged: {e}") from e
    return {name: wrap(jax.device_put(array, place)) for name, array in arrays.items()}


def save_safetensors(
    tensors: Mapping[str, Tensor], f: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name. The format knows no sharing: each is written by itself, contiguous.

    Raises TypeError for what is no tensor.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as e:
        raise ImportError(_MISSING) from e
    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"safetensors files hold tensors by name, got {type(name).__name__}: {type(tensor).__name__}"
            )
        arrays[name] = np.ascontiguousarray(np.asarray(tensor._array)).reshape(tuple(tensor.shape))
    save_file(arrays, f, metadata=None if metadata is None else dict(metadata))
