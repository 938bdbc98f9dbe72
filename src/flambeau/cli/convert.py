"""`flambeau convert`: weights from one file format into another."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.checkpoint import npz, safetensors, shards
from flambeau.cli import weights
from flambeau.cli.progress import Bar, Watched
from flambeau.core.tensor.sparse import is_sparse
from flambeau.runtime import files

_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


class Refused(Exception):
    """What can't be converted; the text says why and what to do."""


def run_convert(source: Path, dest: Path, key: str | None, most: str | None, legacy: bool) -> None:
    """Convert and say what was written, or end the process with the reason."""
    try:
        written = convert(source, dest, key, most, legacy)
    except Exception as error:
        sys.exit(f"flambeau: {source}: {error}")
    for path in written:
        print(f"{path} ({path.stat().st_size:,} bytes)")


def convert(
    source: Path, dest: Path, key: str | None = None, most: str | None = None, legacy: bool = False
) -> list[Path]:
    """Write what `source` holds (or what it holds under `key`) to `dest`, whose name tells the format; the files written."""
    target = target_kind(dest)
    if most is not None and target != "sharded":
        raise Refused(
            f"--max-shard-size is for a folder or a name that ends with {shards.INDEX}, and {dest} is neither"
        )
    if legacy and target != "torch":
        raise Refused(f"--legacy is for torch's files ({' '.join(_TORCH)}), and {dest} is none")
    limit = shard_size(most or "5GB")
    metadata = safetensors.read_metadata(source) if weights.kind(source) == "safetensors" else {}
    content = chosen(weights.read(source), key)
    if metadata:
        content = with_aliases(content, metadata)
    if target == "torch":
        _left_out(metadata)
        return [
            _write(dest, lambda file: flambeau.save(content, file, _use_new_zipfile_serialization=not legacy), content)
        ]
    tensors = only_tensors(content, target)
    if target == "npz":
        _left_out(metadata)
        for names in shared(tensors):
            _tell(f"{', '.join(names)} share memory, and each is written by itself: npz files know no sharing")
        return [_write(dest, npz.writer(tensors), tensors)]
    metadata = {"format": "pt"} | {name: text for name, text in metadata.items() if name not in tensors}
    tensors = without_aliases(tensors, metadata)
    if target == "safetensors":
        return [_write(dest, safetensors.writer(tensors, metadata), tensors)]
    return write_shards(tensors, dest, limit, metadata)


def target_kind(dest: Path) -> str:
    """ "torch", "npz", "safetensors" or "sharded", by the name. Raises Refused for others."""
    if dest.is_dir() or dest.name.endswith(shards.INDEX) or not dest.suffix:
        return "sharded"
    if dest.suffix in (".safetensors", ".npz"):
        return dest.suffix[1:]
    if dest.suffix in _TORCH:
        return "torch"
    raise Refused(
        f"no format has names such as {dest.name}: end it with .safetensors, .npz, one of {' '.join(_TORCH)}, or "
        f"{shards.INDEX}, or name a folder (which has to be there if its name has a dot)"
    )


def shard_size(text: str) -> int:
    """Bytes of a text such as 5GB, 200MB or 2GiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]I?B)?", text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2] or ""]) if found else 0
    if size <= 0:
        raise Refused(f"--max-shard-size is a number of bytes, as in 5GB, 200MB or 2GiB; got {text!r}")
    return size


def chosen(content: Any, key: str | None) -> Any:
    """The part of nested dicts that a key with dots leads to."""
    for i, part in enumerate(key.split(".") if key else ()):
        if not isinstance(content, Mapping) or part not in content:
            held = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
            raise Refused(f"there is no {'.'.join(key.split('.')[: i + 1])!r} in it: there is {held}")  # type: ignore[union-attr]
        content = content[part]
    return content


def only_tensors(content: Any, target: str) -> dict[str, Tensor]:
    """Tensors by name. Raises Refused, with the names, where there is anything else."""
    if not isinstance(content, Mapping):
        raise Refused(f"{target} files hold tensors by name, and this is of type {type(content).__name__}")
    others = {name: value for name, value in content.items() if not isinstance(value, Tensor)}
    if not others:
        return dict(content)
    shown = ", ".join(f"{name!r} ({type(value).__name__})" for name, value in list(others.items())[:8])
    nested = [
        name for name, value in others.items()
        if isinstance(name, str) and isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values())
    ]  # fmt: skip
    cure = f": take the tensors in one of them with --key {nested[0]}" if nested else ""
    more = ", ..." if len(others) > 8 else ""
    raise Refused(f"{target} files hold tensors by name and nothing else, and this has {shown}{more}{cure}")


def shared(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """The names of tensors that lie in the same memory, a list for each piece of it."""
    found: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        if not is_sparse(tensor) and not tensor.is_meta and tensor.numel():  # type: ignore[attr-defined]
            found.setdefault(id(tensor._storage), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def without_aliases(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Tensor]:
    """Without the names of tensors that are there by another name, which the metadata keeps, as safetensors' `save_model` does."""
    kept = dict(tensors)
    for names in shared(tensors):
        seen: dict[Any, str] = {}
        for name in sorted(names):
            tensor = tensors[name]
            place = tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype  # type: ignore[attr-defined]
            first = seen.setdefault(place, name)
            if first != name:
                metadata[name] = first
                del kept[name]
                _tell(f"{name} is {first}, and is written once, by the name {first}")
        if len(seen) > 1:
            _tell(
                f"{', '.join(seen.values())} share memory, and each is written by itself: safetensors files know no sharing"
            )
    return kept


def with_aliases(content: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, Tensor]:
    """With the tensors that the metadata gives second names, which leave the metadata."""
    found = dict(content)
    for name, first in list(metadata.items()):
        if name not in content and first in content:
            found[name] = content[first]
            del metadata[name]
    return found


def write_shards(tensors: dict[str, Tensor], dest: Path, limit: int, metadata: dict[str, str]) -> list[Path]:
    """Files of at most `limit` bytes of tensors, then their index; one file alone where all fits. On errors none is left."""
    index = dest if dest.name.endswith(shards.INDEX) else dest / ("model" + shards.INDEX)
    folder, stem = index.parent, index.name.removesuffix(shards.INDEX)
    if old := sorted(folder.glob(f"{stem}*.safetensors")) + sorted(folder.glob(index.name)):
        raise Refused(
            f"{old[0]} is there already, and files of two models would mix: name another folder, or remove it"
        )
    sizes = {name: weights.bytes_of(tensor) for name, tensor in tensors.items()}
    groups = shards.divide(sizes, limit)
    alone = len(groups) == 1 and dest != index
    parts = [
        f"{stem}.safetensors" if alone else f"{stem}-{i:05}-of-{len(groups):05}.safetensors"
        for i in range(1, len(groups) + 1)
    ]
    # all is checked before the first file is written
    fills = [safetensors.writer({name: tensors[name] for name in group}, metadata) for group in groups]
    made = not folder.exists()
    written: list[Path] = []
    try:
        folder.mkdir(exist_ok=True)
        with Bar(f"writing {dest.name}", sum(sizes.values())) as bar:
            for part, fill in zip(parts, fills, strict=True):
                _fill(folder / part, fill, bar)
                written.append(folder / part)
        if not alone:
            text = shards.index_text(dict(zip(parts, groups, strict=True)), sum(sizes.values()))
            files.replace(index, lambda file: file.write(text))
            written.append(index)
    except BaseException:
        for path in written:
            path.unlink()
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return written


def _write(dest: Path, fill: Callable[[Any], None], content: Any) -> Path:
    total = sum(weights.bytes_of(value) for _, value in weights.leaves(content))
    with Bar(f"writing {dest.name}", total) as bar:
        _fill(dest, fill, bar)
    return dest


def _fill(path: Path, fill: Callable[[Any], None], bar: Bar) -> None:
    if not path.parent.is_dir():
        raise Refused(f"the folder {path.parent} does not exist")
    files.replace(path, lambda file: fill(Watched(file, bar)))


def _left_out(metadata: Mapping[str, str]) -> None:
    left = [name for name in metadata if name != "format"]
    if left:
        _tell(f"left out, since the new file holds tensors alone: the metadata {', '.join(left)}")


def _tell(text: str) -> None:
    print(f"flambeau: {text}", file=sys.stderr)
