"""Safetensors in several files: which file holds which tensor, by an index (`model.safetensors.index.json`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import brief, damaged

INDEX = ".safetensors.index.json"


def locate(path: str | os.PathLike[str]) -> dict[Path, list[str] | None]:
    """The files of a path and the tensors in them (None: all), for a file, an index, or a folder that holds either.

    Raises FileNotFoundError for a folder without any and for a file that the index names and that isn't there, RuntimeError
    for an index that is damaged or names files elsewhere.
    """
    found = Path(os.fsdecode(path))
    if found.is_dir():
        found = _within(found)
    if not found.name.endswith(".json"):
        return {found: None}
    try:
        names = json.loads(found.read_bytes())["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(f"{found} should be an index, JSON with a weight_map ({type(error).__name__})") from error
    if not isinstance(names, dict):
        raise damaged(f"the weight_map of {found} should tell files by name, got {brief(names)}")
    files: dict[Path, list[str] | None] = {}
    for name, file in names.items():
        # an index may come from anywhere: it names its neighbours and nothing else
        if not isinstance(file, str) or Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise damaged(f"{found} says that {brief(name)} lies in {brief(file)}, which is no file beside it")
        files.setdefault(found.parent / file, []).append(name)  # type: ignore[union-attr]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{found} names {file.name}, which is not there")
    return files


def _within(folder: Path) -> Path:
    for pattern in ("model" + INDEX, "*" + INDEX, "model.safetensors", "*.safetensors"):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise RuntimeError(f"{folder} holds {len(found)} files {pattern}: name one of them")
    raise FileNotFoundError(f"{folder} holds no safetensors file and no index ({INDEX})")


def divide(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Names in their order, in groups of at most `most` bytes; what is larger by itself has a group of its own."""
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        if groups[-1] and held + size > most:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups


def index_text(files: Mapping[str, Iterable[str]], total: int) -> bytes:
    """An index: the names in each file, and the bytes of all tensors."""
    names = {name: file for file, held in files.items() for name in held}
    content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
