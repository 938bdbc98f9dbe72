"""Functions of the items of data pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..._utils.collate import default_collate
from ..datapipe import IterDataPipe, functional_datapipe
from ..utils.common import check_function, validate_input_col
from .utils import of_length

__all__ = ["CollatorIterDataPipe", "MapperIterDataPipe"]


@functional_datapipe("map")
class MapperIterDataPipe(IterDataPipe):
    """`fn` of each item, or of one part of it (`input_col`), which takes that part's place or goes to `output_col`."""

    datapipe: IterDataPipe
    fn: Callable[..., Any]

    def __init__(self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None) -> None:
        super().__init__()
        self.datapipe = datapipe
        check_function(fn)
        self.fn = fn
        self.input_col = input_col
        if output_col is not None and input_col is None:
            raise ValueError(message("pipe_output_without_input"))
        if isinstance(output_col, (list, tuple)):
            if len(output_col) > 1:
                raise ValueError(message("pipe_output_col"))
            output_col = output_col[0]
        self.output_col = output_col
        if input_col is not None:
            validate_input_col(fn, input_col)

    def __iter__(self) -> Iterator[Any]:
        for item in self.datapipe:
            yield self._of(item)

    def _of(self, item: Any) -> Any:
        if self.input_col is None:
            return self.fn(item)
        several = isinstance(self.input_col, (list, tuple))
        made = self.fn(*(item[c] for c in self.input_col)) if several else self.fn(item[self.input_col])
        changed: Any = dict(item) if isinstance(item, dict) else list(item)
        if self.output_col == -1 and not isinstance(item, dict):
            changed.append(made)
        elif self.output_col is not None:
            changed[self.output_col] = made
        elif several:
            changed[self.input_col[0]] = made
            for place in sorted(self.input_col[1:], reverse=True):
                del changed[place]
        else:
            changed[self.input_col] = made
        return tuple(changed) if isinstance(item, tuple) else changed

    def __len__(self) -> int:
        return of_length(self, self.datapipe)


class _Columns:
    """Each column of a data frame by a function of its own, or by the usual one."""

    def __init__(self, conversion: dict[Any, Callable[..., Any]]):
        self.conversion = conversion

    def __call__(self, frame: Any) -> Any:
        raise NotImplementedError(
            f"collate: conversions of data frames' columns ({list(self.conversion)}) are not here, as data pipes of frames are not; "
            "turn each frame into tensors with map(), or pass collate_fn"
        )


@functional_datapipe("collate")
class CollatorIterDataPipe(MapperIterDataPipe):
    """Each item (a batch) as one of tensors."""

    def __init__(self, datapipe: Any, conversion: Any = None, collate_fn: Callable[..., Any] | None = None) -> None:
        function = collate_fn
        if function is None:
            function = _Columns(conversion) if isinstance(conversion, dict) else conversion or default_collate
        super().__init__(datapipe, fn=function)
