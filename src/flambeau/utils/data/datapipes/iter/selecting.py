"""Some of the items of data pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import IterDataPipe, functional_datapipe
from ..utils.common import check_function, validate_input_col

__all__ = ["FilterIterDataPipe"]


@functional_datapipe("filter")
class FilterIterDataPipe(IterDataPipe):
    """The items for which `filter_fn` (of one part with `input_col`) is true."""

    datapipe: IterDataPipe
    filter_fn: Callable[..., bool]

    def __init__(self, datapipe: Any, filter_fn: Callable[..., bool], input_col: Any = None) -> None:
        super().__init__()
        self.datapipe = datapipe
        check_function(filter_fn)
        self.filter_fn = filter_fn
        self.input_col = input_col
        if input_col is not None:
            validate_input_col(filter_fn, input_col)

    def __iter__(self) -> Iterator[Any]:
        column = self.input_col
        for item in self.datapipe:
            if column is None:
                given: Any = (item,)
            else:
                given = [item[c] for c in column] if isinstance(column, (list, tuple)) else (item[column],)
            kept = self.filter_fn(*given)
            if not isinstance(kept, bool):
                raise ValueError(message("pipe_filter_no_bool"), type(kept))
            if kept:
                yield item
