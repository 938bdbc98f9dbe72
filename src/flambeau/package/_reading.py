"""The files of a package: in an archive, or in the folder that one was unpacked to."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..checkpoint.archive import Reader
from ..checkpoint.errors import brief, damaged
from ..checkpoint.file_reader import PyTorchFileReader


class Files(Protocol):
    """What an importer asks for."""

    def names(self) -> list[str]:
        """All files."""

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""

    def size(self, name: str) -> int:
        """The number of its bytes. RuntimeError if there is none."""

    def read(self, name: str) -> np.ndarray:
        """Its bytes. RuntimeError if there is none."""


def _missing(name: str) -> RuntimeError:
    hint = (
        ": this is no package; torch.load reads checkpoints" if name == ".data/extern_modules" else " in this package"
    )
    return RuntimeError(f"PytorchStreamReader failed locating file {brief(name)[1:-1]}: file not found{hint}")


class ArchiveFiles:
    """Those of an archive, whose files lie in one folder."""

    def __init__(self, file: Any, owner: Any = None):
        self._archive = Reader(file)
        self._owner = owner  # who would close the file
        self._folder = next(iter(self._archive.records), "").partition("/")[0] + "/"
        if any(not name.startswith(self._folder) for name in self._archive.records):
            raise damaged("its files lie in more than one folder")

    def names(self) -> list[str]:
        """All files."""
        return [name.removeprefix(self._folder) for name in self._archive.records]

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""
        return self._folder + name in self._archive.records

    def size(self, name: str) -> int:
        """The number of its bytes. RuntimeError if there is none."""
        return self._archive.size(self._known(name))

    def read(self, name: str) -> np.ndarray:
        """Its bytes. RuntimeError if there is none, or if they are damaged."""
        return self._archive.read(self._known(name))

    def _known(self, name: str) -> str:
        if not self.has(name):
            raise _missing(name)
        return self._folder + name


class FolderFiles:
    """Those of a folder. Only what was listed when it was opened is read, so that no name leads out of it."""

    def __init__(self, folder: str):
        self._folder = Path(folder)
        self._names = dict.fromkeys(self._listed())

    def _listed(self) -> Iterator[str]:
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                yield path.relative_to(self._folder).as_posix()

    def names(self) -> list[str]:
        """All files."""
        return list(self._names)

    def has(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self._names

    def _path(self, name: str) -> Path:
        if name not in self._names:
            raise _missing(name)
        return self._folder / name

    def size(self, name: str) -> int:
        """The number of its bytes. RuntimeError if there is none."""
        return self._path(name).stat().st_size

    def read(self, name: str) -> np.ndarray:
        """Its bytes. RuntimeError if there is none."""
        return np.fromfile(self._path(name), np.uint8)


def opened(source: Any) -> tuple[str, Files]:
    """What a package is called in messages, and its files.

    RuntimeError for a file that is missing or is no archive, AttributeError for what is neither a path nor a file.
    """
    if isinstance(source, PyTorchFileReader):
        return "<pytorch_file_reader>", ArchiveFiles(source._archive.fp, source)
    if not isinstance(source, (str, bytes, os.PathLike)):
        for needed in ("tell", "seek", "read"):
            if not hasattr(source, needed):
                raise AttributeError(f"'{type(source).__name__}' object has no attribute '{needed}'")
        return "<binary>", ArchiveFiles(source)
    path = os.fsdecode(source)
    if os.path.isdir(path):
        return path, FolderFiles(path)
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise RuntimeError(
            f"open file failed because of errno {error.errno} on fopen: {error.strerror}, file path: {path}"
        ) from None
    try:
        held = ArchiveFiles(file)
    except BaseException:
        file.close()
        raise
    weakref.finalize(held, file.close)  # it is read as long as the importer lives
    return path, held
