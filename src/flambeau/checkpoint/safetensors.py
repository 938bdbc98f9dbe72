"""The safetensors format. Its own library (imported where it is used) checks files; they are read and written here."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.array import devices, dtypes
from ..core.context.tracing import refuse_in_trace
from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor, wrap
from ..runtime import files
from . import shards
from .archive import ALIGNMENT, aligned, fill

_MISSING = "safetensors files need the package safetensors: pip install safetensors"
_NAMES = {
    dtypes.bool: "BOOL", dtypes.uint8: "U8", dtypes.int8: "I8", dtypes.uint16: "U16", dtypes.int16: "I16",
    dtypes.uint32: "U32", dtypes.int32: "I32", dtypes.uint64: "U64", dtypes.int64: "I64", dtypes.float16: "F16",
    dtypes.float8_e4m3fn: "F8_E4M3", dtypes.float8_e5m2: "F8_E5M2", dtypes.float8_e8m0fnu: "F8_E8M0",
    dtypes.bfloat16: "BF16", dtypes.float32: "F32", dtypes.float64: "F64", dtypes.complex64: "C64",
}  # fmt: skip
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def load_safetensors(
    f: str | os.PathLike[str], device: Any = "cpu", *, mmap: bool = False, opened: Callable[[Any], Any] | None = None
) -> dict[str, Tensor]:
    """The tensors in a file, by name; or in all files of an index (`model.safetensors.index.json`) or of its folder.

    Of every file the tensors' bytes alone are read, straight into their memory. With `mmap` they stay in the file until they
    are used, where its bytes are aligned; the file must not be cut meanwhile. On the meta device nothing is read but headers.
    `opened` opens the files (as `open(path, "rb")`, the default), to watch the reading.

    Raises RuntimeError if a file is damaged, lacks what the index says or has a dtype that flambeau lacks, FileNotFoundError if
    one is not there.
    """
    refuse_in_trace("reads a file (load_safetensors)")
    place = devices.to_jax(devices.device(device))
    found: dict[str, Tensor] = {}
    for path, names in shards.locate(f).items():
        header = _header(path)
        if lacking := [name for name in names or () if name not in header]:
            raise RuntimeError(f"the index of {path} is wrong: {lacking[0]!r:.80} is not in that file")
        with (opened or _open)(path) as file:
            base = 8 + struct.unpack("<Q", file.read(8))[0]
            mapped = files.mapped(file) if mmap else None
            for name in header if names is None else names:
                kind, shape, (start, stop) = header[name]
                if place is devices.NOWHERE:
                    array = np.broadcast_to(np.zeros((), kind.numpy), shape)
                elif mapped is not None:
                    array = _seen(mapped[base + start : base + stop], kind, shape)
                else:
                    data = aligned(stop - start)
                    file.seek(base + start)
                    if fill(file, data) != stop - start:
                        raise RuntimeError(f"the safetensors file {path} is damaged: it is cut off")
                    array = _seen(data, kind, shape)
                found[name] = wrap(devices.put(array, place))
    return found


def views(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file as NumPy's arrays, mapped: what is read of them is read from the file then. RuntimeError as above."""
    header = _header(path)
    with open(path, "rb") as file:
        base = 8 + struct.unpack("<Q", file.read(8))[0]
        mapped = files.mapped(file)
    return {
        name: mapped[base + start : base + stop].view(np.ndarray).view(kind.numpy).reshape(shape)
        for name, (kind, shape, (start, stop)) in header.items()
    }


def _open(path: Any) -> Any:
    return open(path, "rb")


def _seen(data: np.ndarray, kind: dtypes.dtype, shape: list[int]) -> np.ndarray:
    if kind is dtypes.bool:
        return (data != 0).reshape(shape)  # a bool of any other bit pattern would be undefined behaviour
    return np.asarray(data).view(kind.numpy).reshape(shape)


def read_metadata(f: str | os.PathLike[str]) -> dict[str, str]:
    """The text that a file (or the files of an index) holds beside the tensors."""
    found: dict[str, str] = {}
    for path in shards.locate(f):
        with _checked(path) as file:
            found |= file.metadata() or {}
    return found


@contextlib.contextmanager
def _checked(path: Path) -> Iterator[Any]:
    """The format's own library checks what a file says of itself."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as e:
        raise ImportError(_MISSING) from e
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as e:
        raise RuntimeError(f"the safetensors file {path} is damaged: {e}") from e


def _header(path: Path) -> dict[str, tuple[dtypes.dtype, list[int], tuple[int, int]]]:
    """Each tensor's dtype, shape and place behind the header."""
    with _checked(path) as checked:
        for name in checked.keys():  # noqa: SIM118 (it is no dict)
            found = checked.get_slice(name).get_dtype()
            if found not in _DTYPES:
                raise RuntimeError(
                    f"the tensor {name!r:.80} in {path} has the dtype {found}, which is not supported: "
                    "convert it before saving"
                )
        with open(path, "rb") as file:
            text = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        names = sorted(checked.keys())
        return {n: (_DTYPES[text[n]["dtype"]], text[n]["shape"], tuple(text[n]["data_offsets"])) for n in names}


def save_safetensors(
    tensors: Mapping[str, Tensor], f: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name. The format knows no sharing: each is written by itself, contiguous.

    The format is that of https://github.com/huggingface/safetensors: the length of a header, the header (JSON), the
    values. A file is replaced only when the new one is written and synced.

    Raises TypeError for what is no tensor and dtypes that the format lacks, RuntimeError (an OSError, too) if the file
    can't be written.
    """
    refuse_in_trace("writes a file (save_safetensors)")
    files.replace(f, writer(tensors, metadata))


def writer(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Callable[[Any], None]:
    """What writes such a file; raises TypeError and ValueError as `save_safetensors` does, before anything is written."""
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
        if is_sparse(tensor) or tensor.is_meta or tensor.is_nested:  # type: ignore[attr-defined]
            what = "on the meta device, without values" if tensor.is_meta else "not one dense array"  # type: ignore[attr-defined]
            raise TypeError(
                f"safetensors files hold the values of dense tensors, and {name!r:.80} is {what}: convert it before"
            )
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
    text += b" " * (-(len(text) + 8) % ALIGNMENT)  # so that a mapped file is used without a copy

    def write(file: Any) -> None:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (_, values) in ordered:
            file.write(values.reshape(-1).view(np.uint8).data)

    return write
