"""Items of data pipes together, and apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import DataChunk, IterDataPipe, functional_datapipe
from ..utils.common import check_function
from .utils import of_length

__all__ = ["BatcherIterDataPipe", "GrouperIterDataPipe", "UnBatcherIterDataPipe"]


@functional_datapipe("batch")
class BatcherIterDataPipe(IterDataPipe):
    """Lists of `batch_size` items; the last one may be shorter, unless `drop_last`."""

    datapipe: IterDataPipe
    batch_size: int
    drop_last: bool

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = DataChunk) -> None:
        if batch_size <= 0:
            raise AssertionError(message("batch_size_not_positive"))
        super().__init__()
        self.datapipe, self.batch_size, self.drop_last = datapipe, batch_size, drop_last
        self.wrapper_class = wrapper_class

    def __iter__(self) -> Iterator[Any]:
        batch: list[Any] = []
        for item in self.datapipe:
            batch.append(item)
            if len(batch) == self.batch_size:
                yield self.wrapper_class(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.wrapper_class(batch)

    def __len__(self) -> int:
        whole, rest = divmod(of_length(self, self.datapipe), self.batch_size)
        return whole + bool(rest and not self.drop_last)


@functional_datapipe("unbatch")
class UnBatcherIterDataPipe(IterDataPipe):
    """The items of batches, `unbatch_level` deep; -1: of all lists in lists."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1) -> None:
        self.datapipe = datapipe
        self.unbatch_level = unbatch_level

    def __iter__(self) -> Iterator[Any]:
        if self.unbatch_level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        for item in self.datapipe:
            yield from self._open(item, self.unbatch_level)

    def _open(self, item: Any, level: int) -> Iterator[Any]:
        if (level == -1 and not isinstance(item, list)) or level == 0:
            yield item
        elif not isinstance(item, list):
            asked = f"unbatch_level {self.unbatch_level}"
            raise IndexError(f"{asked} exceeds the depth of the DataPipe")
        else:
            for inner in item:
                yield from self._open(inner, level if level == -1 else level - 1)


@functional_datapipe("groupby")
class GrouperIterDataPipe(IterDataPipe):
    """Lists of items that have the same key, of `group_size` where it is given.

    When `buffer_size` items wait, the largest group goes: as it is if it has `guaranteed_group_size` items, away with `drop_remaining`, and
    otherwise it is a RuntimeError. At the end the others follow. With `keep_key` a group stands behind its key.
    """

    def __init__(
        self,
        datapipe: Any,
        group_key_fn: Callable[[Any], Any],
        *,
        keep_key: bool = False,
        buffer_size: int = 10000,
        group_size: int | None = None,
        guaranteed_group_size: int | None = None,
        drop_remaining: bool = False,
    ) -> None:
        check_function(group_key_fn)
        self.datapipe, self.group_key_fn, self.keep_key = datapipe, group_key_fn, keep_key
        self.max_buffer_size, self.group_size, self.drop_remaining = buffer_size, group_size, drop_remaining
        self.buffer_elements: defaultdict[Any, list[Any]] = defaultdict(list)
        self.curr_buffer_size = 0
        self.guaranteed_group_size: int | None = None
        self.wrapper_class = DataChunk
        if group_size is not None and buffer_size is not None:
            if not 0 < group_size <= buffer_size:
                raise AssertionError("group_size must be > 0 and <= buffer_size")
            self.guaranteed_group_size = group_size
        if guaranteed_group_size is not None:
            if group_size is None or not 0 < guaranteed_group_size <= group_size:
                raise AssertionError(message("pipe_group_size"))
            self.guaranteed_group_size = guaranteed_group_size

    def reset(self) -> None:
        """No items wait."""
        self.curr_buffer_size = 0
        self.buffer_elements = defaultdict(list)

    def _taken(self, key: Any) -> Any:
        group = self.buffer_elements.pop(key)
        self.curr_buffer_size -= len(group)
        return (key, self.wrapper_class(group)) if self.keep_key else self.wrapper_class(group)

    def __iter__(self) -> Iterator[Any]:
        for item in self.datapipe:
            key = self.group_key_fn(item)
            self.buffer_elements[key].append(item)
            self.curr_buffer_size += 1
            if self.group_size is not None and self.group_size == len(self.buffer_elements[key]):
                yield self._taken(key)
            if self.curr_buffer_size == self.max_buffer_size:
                largest = max(self.buffer_elements, key=lambda k: len(self.buffer_elements[k]))
                few = len(self.buffer_elements[largest]) < (self.guaranteed_group_size or 0)
                if few and not self.drop_remaining:
                    raise RuntimeError("Failed to group items", str(self.buffer_elements[largest]))
                group = self._taken(largest)
                if not few:
                    yield group
        for key in tuple(self.buffer_elements):
            yield self._taken(key)

    def __getstate__(self) -> Any:
        waiting: dict[str, Any] = {"curr_buffer_size": 0, "buffer_elements": defaultdict(list)}
        return super().__getstate__() if type(self).getstate_hook is not None else {**self.__dict__, **waiting}
