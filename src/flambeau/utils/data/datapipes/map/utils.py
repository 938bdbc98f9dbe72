"""Any sequence or mapping as a data pipe."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import MapDataPipe

__all__ = ["SequenceWrapperMapDataPipe"]


class SequenceWrapperMapDataPipe(MapDataPipe):
    """The items of a sequence or mapping; of a copy of it with `deepcopy`."""

    def __init__(self, sequence: Any, deepcopy: bool = True) -> None:
        if deepcopy:
            try:
                sequence = copy.deepcopy(sequence)
            except TypeError:
                warnings.warn(message("pipe_source_not_copied"))
        self.sequence: Any = sequence

    def __getitem__(self, index: Any) -> Any:
        return self.sequence[index]

    def __len__(self) -> int:
        return len(self.sequence)
