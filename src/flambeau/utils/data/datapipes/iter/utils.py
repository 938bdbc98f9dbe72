"""Any iterable as a data pipe."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import IterDataPipe

__all__ = ["IterableWrapperIterDataPipe"]


class IterableWrapperIterDataPipe(IterDataPipe):
    """The items of an iterable; of a copy of it with `deepcopy`."""

    def __init__(self, iterable: Iterable[Any], deepcopy: bool = True) -> None:
        self.iterable = iterable
        self.deepcopy = deepcopy

    def __iter__(self) -> Iterator[Any]:
        source = self.iterable
        if self.deepcopy:
            try:
                source = copy.deepcopy(source)
            except TypeError:  # a generator, an open file
                warnings.warn(message("pipe_source_not_copied"))
        yield from source

    def __len__(self) -> int:
        return of_length(self, self.iterable)


def of_length(pipe: Any, held: Any) -> int:
    """The length of what a pipe holds. TypeError if it has none."""
    if not hasattr(type(held), "__len__"):
        raise TypeError(message("pipe_no_length", pipe=type(pipe).__name__))
    return len(held)
