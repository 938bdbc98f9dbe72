"""What a checkpoint holds, as data: the index of its files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...core.array import dtypes
from ...core.tensor.tensor import Size

__all__ = [
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "Metadata",
    "MetadataIndex",
    "StorageMeta",
    "TensorProperties",
    "TensorStorageMetadata",
]


INDEX = ".metadata"
_FORMAT = "flambeau.distributed.checkpoint"


@dataclass
class ChunkStorageMetadata:
    """A box of a tensor's elements, and where it lies: `key` in `file`."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self.offsets, self.sizes = Size(self.offsets), Size(self.sizes)


@dataclass(frozen=True)
class MetadataIndex:
    """A name, and of a tensor in chunks the place of one; `index` is only a hint where to look."""

    fqn: str
    offset: Size | None = None
    index: int | None = field(hash=False, compare=False, default=None)

    def __init__(self, fqn: str, offset: Sequence[int] | None = None, index: int | None = None):
        object.__setattr__(self, "fqn", fqn)
        object.__setattr__(self, "offset", None if offset is None else Size(offset))
        object.__setattr__(self, "index", index)


@dataclass
class StorageMeta:
    """Which checkpoint, and which saving or loading of it."""

    checkpoint_id: str | os.PathLike[str] | None = None
    save_id: str | None = None
    load_id: str | None = None
    modules: list[str] = field(default_factory=list)


@dataclass
class TensorProperties:
    """What belongs to a tensor beside its shape and values."""

    dtype: Any = None
    requires_grad: bool = False

    @staticmethod
    def create_from_tensor(tensor: Any) -> TensorProperties:
        """Those of a tensor."""
        return TensorProperties(tensor.dtype, tensor.requires_grad)


@dataclass
class TensorStorageMetadata:
    """A tensor in chunks."""

    properties: TensorProperties
    size: Any
    chunks: list[ChunkStorageMetadata]


@dataclass
class BytesStorageMetadata:
    """What is no tensor: pickled, under `key` in `file`."""

    file: str = ""
    key: str = ""


@dataclass
class Metadata:
    """All that a checkpoint holds, by full names; `planner_data` has the keys that lead to each in nested containers."""

    state_dict_metadata: dict[str, TensorStorageMetadata | BytesStorageMetadata]
    planner_data: Any = field(default_factory=dict)
    storage_data: Any = None
    storage_meta: StorageMeta | None = None
    version: str | None = None

    def files(self) -> set[str]:
        """The names of all files."""
        found: set[str] = set()
        for entry in self.state_dict_metadata.values():
            found |= {c.file for c in (entry.chunks if isinstance(entry, TensorStorageMetadata) else [entry])}
        return found

    def text(self) -> bytes:
        """As JSON."""
        entries: dict[str, Any] = {}
        for name, entry in self.state_dict_metadata.items():
            if isinstance(entry, TensorStorageMetadata):
                kind = str(entry.properties.dtype).rpartition(".")[2]
                chunks = [asdict(chunk) for chunk in entry.chunks]
                entries[name] = {"dtype": kind, "shape": list(entry.size), "chunks": chunks}
            else:
                entries[name] = asdict(entry)
            entries[name]["path"] = list(self.planner_data[name])
        return json.dumps({"format": _FORMAT, "version": 1, "entries": entries}, indent=1).encode() + b"\n"


def _strings(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _file(name: Any) -> str:
    """A file beside the index, which may come from anywhere."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
        raise ValueError(f"{name!r:.80} is no file beside it")
    return name


def _numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or any(type(n) is not int or n < 0 for n in values):
        raise ValueError(f"{values!r:.80} is no list of lengths")
    return tuple(values)


def _tensor(entry: dict[str, Any]) -> TensorStorageMetadata:
    found = getattr(dtypes, entry["dtype"])
    if not isinstance(found, dtypes.dtype):
        raise ValueError(f"{entry['dtype']!r:.80} is no dtype")
    shape, chunks = _numbers(entry["shape"]), []
    for chunk in entry["chunks"]:
        offsets, sizes = _numbers(chunk["offsets"]), _numbers(chunk["sizes"])
        if not len(offsets) == len(sizes) == len(shape) or not _strings(chunk["key"]):
            raise ValueError(f"{chunk!r:.80} is no chunk of {list(shape)}")
        chunks.append(ChunkStorageMetadata(offsets, sizes, _file(chunk["file"]), chunk["key"]))
    return TensorStorageMetadata(TensorProperties(found), Size(shape), chunks)


def read(folder: Path) -> Metadata:
    """The index of a folder. FileNotFoundError if there is none, RuntimeError for one that is damaged or of another library."""
    raw = (folder / INDEX).read_bytes()
    if raw[:1] == b"\x80":
        raise RuntimeError(
            f"{folder / INDEX} is pickled: the checkpoint was written by PyTorch. Convert it there, with "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save, and load the file"
        )
    entries: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {}
    paths: dict[str, tuple[Any, ...]] = {}
    try:
        content = json.loads(raw)
        if content["format"] != _FORMAT or content["version"] != 1:
            raise ValueError(f"format {content['format']!r:.80}, version {content['version']!r:.20}")
        for name, entry in content["entries"].items():
            entries[name] = (
                _tensor(entry) if "chunks" in entry else BytesStorageMetadata(_file(entry["file"]), entry["key"])
            )
            paths[name] = _path(entry["path"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RuntimeError(f"the index {folder / INDEX} is damaged: {type(error).__name__}: {error}") from error
    return Metadata(entries, paths)


def _path(keys: Sequence[Any]) -> tuple[Any, ...]:
    if not keys or any(not isinstance(key, (str, int)) for key in keys):
        raise ValueError(f"{keys!r:.80} is no list of keys")
    return tuple(keys)
