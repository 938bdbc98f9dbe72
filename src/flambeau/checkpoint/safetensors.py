"""The safetensors format. Files are read by its own library (imported where it is used), and written here."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.array import devices, dtypes
from ..core.tensor.tensor import Tensor, wrap
from ..runtime import files

_MISSING = "safetensors files need the package safetensors: pip install safetensors"
_NAMES = {
    dtypes.bool: "BOOL", dtypes.uint8: "U8", dtypes.int8: "I8", dtypes.uint16: "U16", dtypes.int16: "I16",
    dtypes.uint32: "U32", dtypes.int32: "I32", dtypes.uint64: "U64", dtypes.int64: "I64", dtypes.float16: "F16",
    dtypes.float8_e4m3fn: "F8_E4M3", dtypes.float8_e5m2: "F8_E5M2", dtypes.float8_e8m0fnu: "F8_E8M0",
    dtypes.bfloat16: "BF16", dtypes.float32: "F32", dtypes.float64: "F64", dtypes.complex64: "C64",
}  # fmt: skip
_KNOWN = frozenset(_NAMES.values())


def load_safetensors(f: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors in a file, by name.

    Raises RuntimeError if it is damaged or has a dtype that flambeau lacks, FileNotFoundError if it is not there.
    """
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import load_file
    except ImportError as e:
        raise ImportError(_MISSING) from e
    place = devices.to_jax(devices.device(device))
    any_narrow = False
    try:
        with safe_open(f, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                found = file.get_slice(name).get_dtype()
                any_narrow |= found.startswith("F8")
                if found not in _KNOWN:
                    raise RuntimeError(
                        f"the tensor {name!r:.80} in {os.fspath(f)} has the dtype {found}, which is not supported: "
                        "convert it before saving"
                    )
        arrays = _deserialized(f) if any_narrow else load_file(f)
    except SafetensorError as e:
        raise RuntimeError(f"the safetensors file {os.fspath(f)} is damaged: {e}") from e
    return {name: wrap(devices.put(array, place)) for name, array in arrays.items()}


def _deserialized(f: Any) -> dict[str, np.ndarray]:
    """The arrays of a file with floating point numbers of 8 bits, which the package does not give to NumPy."""
    from safetensors import deserialize

    with open(f, "rb") as file:
        parts = deserialize(file.read())
    types = {name: d.numpy for d, name in _NAMES.items()}
    return {
        name: np.frombuffer(part["data"], types[part["dtype"]]).reshape(part["shape"]).copy() for name, part in parts
    }


def save_safetensors(
    tensors: Mapping[str, Tensor], f: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name. The format knows no sharing: each is written by itself, contiguous.

    The format is that of https://github.com/huggingface/safetensors: the length of a header, the header (JSON), the
    values. A file is replaced only when the new one is written and synced.

    Raises TypeError for what is no tensor and dtypes that the format lacks, RuntimeError (an OSError, too) if the file
    can't be written.
    """
    arrays: dict[str, tuple[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"safetensors files hold tensors by name, got {type(name).__name__}: {type(tensor).__name__}"
            )
        if name == "__metadata__":
            raise ValueError("the name __metadata__ is taken in safetensors files")
        if tensor.dtype not in _NAMES:
            raise TypeError(f"safetensors files cannot hold {tensor.dtype}, which is the dtype of {name!r}")
        values = np.ascontiguousarray(np.asarray(tensor._array)).reshape(tuple(tensor.shape))
        arrays[name] = _NAMES[tensor.dtype], values
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"safetensors metadata is text by name, got {key!r:.80}: {value!r:.80}")
    # the widest first, so that each begins at a multiple of its size
    ordered = sorted(arrays.items(), key=lambda item: (-item[1][1].itemsize, item[0]))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for name, (kind, values) in ordered:
        stop = position + values.nbytes
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [position, stop]}
        position = stop
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def fill(file: Any) -> None:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (_, values) in ordered:
            file.write(values.reshape(-1).view(np.uint8).data)

    files.replace(f, fill)
