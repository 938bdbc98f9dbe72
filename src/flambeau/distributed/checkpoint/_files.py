"""Folders and files behind one face, so that others can stand in their place."""

from __future__ import annotations

import abc
import contextlib
import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["FileSystem", "FileSystemBase", "SerializationFormat"]


class SerializationFormat(enum.Enum):
    """How files are written by PyTorch; flambeau's own writer writes safetensors."""

    TORCH_SAVE = "torch_save"
    SAFETENSORS = "safetensors"


class FileSystemBase(abc.ABC):
    """What can be done with paths."""

    @abc.abstractmethod
    def create_stream(self, path: Any, mode: str) -> Any:
        """A context that opens a file."""

    @abc.abstractmethod
    def concat_path(self, path: Any, suffix: str) -> Any:
        """A path within another."""

    @abc.abstractmethod
    def rename(self, path: Any, new_path: Any) -> None:
        """Move a file."""

    @abc.abstractmethod
    def init_path(self, path: Any) -> Any:
        """A path, made of text."""

    @abc.abstractmethod
    def mkdir(self, path: Any) -> None:
        """Make a folder and those above it."""

    @classmethod
    @abc.abstractmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """Whether a checkpoint could have this name."""

    @abc.abstractmethod
    def exists(self, path: Any) -> bool:
        """Whether it is there."""

    @abc.abstractmethod
    def rm_file(self, path: Any) -> None:
        """Take a file away."""


class FileSystem(FileSystemBase):
    """This machine's files."""

    @contextlib.contextmanager
    def create_stream(self, path: Any, mode: str) -> Iterator[Any]:
        with Path(path).open(mode) as stream:
            yield stream

    def concat_path(self, path: Any, suffix: str) -> Any:
        return Path(path) / suffix

    def init_path(self, path: Any) -> Any:
        return Path(path)

    def rename(self, path: Any, new_path: Any) -> None:
        Path(path).rename(new_path)

    def mkdir(self, path: Any) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        if isinstance(checkpoint_id, Path):
            return True
        if "://" in str(checkpoint_id):
            return False
        return any(parent.exists() and os.access(parent, os.W_OK) for parent in Path(checkpoint_id).parents)

    def exists(self, path: Any) -> bool:
        return Path(path).exists()

    def rm_file(self, path: Any) -> None:
        Path(path).unlink()

    def ls(self, path: Any) -> list[str]:
        """What is in a folder."""
        return [str(found) for found in Path(path).iterdir()]
