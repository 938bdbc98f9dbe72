"""Items of a data pipe together."""

from __future__ import annotations

from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import DataChunk, MapDataPipe, functional_datapipe

__all__ = ["BatcherMapDataPipe"]


@functional_datapipe("batch")
class BatcherMapDataPipe(MapDataPipe):
    """Lists of `batch_size` items; the last one may be shorter, unless `drop_last`."""

    datapipe: MapDataPipe
    batch_size: int
    drop_last: bool

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = DataChunk) -> None:
        if batch_size <= 0:
            raise AssertionError(message("batch_size_not_positive"))
        super().__init__()
        self.datapipe, self.batch_size, self.drop_last = datapipe, batch_size, drop_last
        self.wrapper_class = wrapper_class

    def __getitem__(self, index: int) -> Any:
        begin = index * self.batch_size
        places = range(begin, begin + self.batch_size)
        items: list[Any] = []
        try:
            items.extend(self.datapipe[place] for place in places)
        except IndexError:
            items = self._to_the_end(begin)
            if self.drop_last or not items:
                raise IndexError(f"Index {index} is out of bound.") from None
        return self.wrapper_class(items)

    def _to_the_end(self, begin: int) -> list[Any]:
        return [self.datapipe[place] for place in range(begin, len(self.datapipe))]  # type: ignore[arg-type]

    def __len__(self) -> int:
        whole, rest = divmod(len(self.datapipe), self.batch_size)  # type: ignore[arg-type]
        return whole + bool(rest and not self.drop_last)
