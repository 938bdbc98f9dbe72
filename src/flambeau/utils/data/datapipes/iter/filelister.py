"""The files of folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import IterDataPipe, functional_datapipe
from ..utils.common import get_file_pathnames_from_root
from .utils import IterableWrapperIterDataPipe

__all__ = ["FileListerIterDataPipe"]


@functional_datapipe("list_files")
class FileListerIterDataPipe(IterDataPipe):
    """The paths of the files in a folder, or in each folder that a pipe gives, whose names are like one of `masks`."""

    def __init__(
        self,
        root: str | Sequence[str] | IterDataPipe = ".",
        masks: Any = "",
        *,
        recursive: bool = False,
        abspath: bool = False,
        non_deterministic: bool = False,
        length: int = -1,
    ) -> None:
        super().__init__()
        if isinstance(root, str):
            root = [root]
        self.datapipe: Any = root if isinstance(root, IterDataPipe) else IterableWrapperIterDataPipe(root)
        self.masks, self.recursive, self.abspath = masks, recursive, abspath
        self.non_deterministic, self.length = non_deterministic, length

    def __iter__(self) -> Iterator[str]:
        for folder in self.datapipe:
            yield from get_file_pathnames_from_root(
                folder, self.masks, self.recursive, self.abspath, self.non_deterministic
            )

    def __len__(self) -> int:
        if self.length == -1:
            raise TypeError(message("pipe_no_length", pipe=type(self).__name__))
        return self.length
