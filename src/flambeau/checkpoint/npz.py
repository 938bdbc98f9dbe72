"""Tensors in NumPy's `.npz` archives."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core.array import dtypes
from ..core.context.tracing import refuse_in_trace
from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor, from_host

_HELD = frozenset((
    dtypes.bool, dtypes.uint8, dtypes.int8, dtypes.uint16, dtypes.int16, dtypes.uint32, dtypes.int32, dtypes.uint64, dtypes.int64,
    dtypes.float16, dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128,
))  # fmt: skip


def load_npz(f: str | os.PathLike[str] | Any) -> dict[str, Tensor]:
    """The arrays in a file, by name, as tensors on the CPU. Nothing in it is executed: arrays of objects are refused.

    Raises RuntimeError for a file that is damaged, TypeError for arrays of texts, dates, records or objects.
    """
    refuse_in_trace("reads a file (load_npz)")
    found: dict[str, Tensor] = {}
    try:
        with np.load(f, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    array = archive[name]
                except ValueError as error:
                    raise TypeError(f"the array {name!r:.80} cannot be read: {error}") from error
                array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).reshape(
                    array.shape
                )
                try:
                    if dtypes.from_numpy(array.dtype) not in _HELD:
                        raise TypeError
                except TypeError:
                    raise TypeError(
                        f"the array {name!r:.80} has the dtype {array.dtype}, which no tensor has"
                    ) from None
                found[name] = from_host(array, "cpu")
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise RuntimeError(f"the npz file is damaged: {error}") from error
    return found


def writer(tensors: Mapping[str, Tensor]) -> Callable[[Any], None]:
    """What writes tensors by name into a file.

    Raises TypeError for what is no dense tensor and for dtypes that NumPy lacks, ValueError for names that can't be told from
    others afterwards, before anything is written.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"npz files hold tensors by name, got {type(name).__name__}: {type(tensor).__name__}")
        if name.endswith(".npy") or "\0" in name or not name:
            raise ValueError(f"npz files cannot hold an array by the name {name!r:.80}")
        if tensor.dtype not in _HELD:
            raise TypeError(
                f"npz files cannot hold {tensor.dtype}, which is the dtype of {name!r:.80}: NumPy has no such type"
            )
        if is_sparse(tensor) or tensor.is_meta or tensor.is_nested:  # type: ignore[attr-defined]
            raise TypeError(f"npz files hold the values of dense tensors, and {name!r:.80} is none: convert it before")
        arrays[name] = np.asarray(tensor._array)

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as record:
                    np.lib.format.write_array(record, array, allow_pickle=False)  # type: ignore[no-untyped-call, unused-ignore]

    return write
