"""Files of weights in all formats, for the commands that read them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import flambeau
from flambeau.checkpoint import load_safetensors, npz, shards
from flambeau.cli.progress import Bar, Watched
from flambeau.distributed.checkpoint.filesystem import FileSystemReader
from flambeau.distributed.checkpoint.state_dict_loader import everything


def kind(path: Path) -> str:
    """ "safetensors", "npz" or "torch", by what the file holds rather than by its name."""
    if path.is_dir() or path.name.endswith(".json"):
        return "safetensors"
    with path.open("rb") as file:
        head = file.read(9)
    if head[:2] == b"PK":
        return "npz" if _holds_arrays(path) else "torch"
    return "safetensors" if head[8:] == b"{" else "torch"


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, IndexError, struct.error):
        return path.suffix == ".npz"  # it is damaged, as its reader will tell
    return all(name.endswith(".npy") for name in names)


def read(path: Path, headers: bool = False) -> Any:
    """What a file, an index or a folder holds. Nothing in it is executed. With `headers` the tensors may be on the meta device."""
    if (path / ".metadata").is_file():
        return everything(FileSystemReader(path), values=not headers)
    found = kind(path)
    if found == "safetensors" and headers:
        return load_safetensors(path, "meta")
    parts = list(shards.locate(path)) if found == "safetensors" else [path]
    with Bar(f"reading {path.name}", sum(part.stat().st_size for part in parts)) as bar:

        def opened(part: Path) -> Any:
            return Watched(part.open("rb"), bar)

        if found == "safetensors":
            return load_safetensors(path, opened=opened)
        with opened(path) as file:
            return npz.load_npz(file) if found == "npz" else flambeau.load(file, map_location="cpu", weights_only=True)


def leaves(content: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors and plain values in nested containers, with the keys that lead to them joined by dots."""
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list | tuple):
        items = list(enumerate(content))
    else:
        return [(path or "(value)", content)]
    found: list[tuple[str, Any]] = []
    for key, value in items:
        found += leaves(value, f"{path}.{key}" if path else str(key))
    return found


def shape_of(tensor: Any) -> str:
    """A tensor's shape, as 3x4."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def bytes_of(value: Any) -> int:
    """How many bytes a tensor's elements are; 0 for what is no tensor."""
    return value.numel() * value.dtype.itemsize if isinstance(value, flambeau.Tensor) else 0


def brief(value: Any) -> str:
    """A value that is no tensor, short."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
