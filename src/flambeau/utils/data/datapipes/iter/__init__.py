"""Data pipes that are iterated over."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from .....ops.making.constants import empty
from ..._utils.collate import default_collate
from ..datapipe import DataChunk, IterDataPipe, functional_datapipe

__all__ = [
    "Batcher",
    "Collator",
    "Concater",
    "Filter",
    "IterableWrapper",
    "Mapper",
    "ShardingFilter",
    "Shuffler",
    "UnBatcher",
    "Zipper",
]


class IterableWrapper(IterDataPipe):
    """The items of an iterable; of a copy of it with `deepcopy`."""

    def __init__(self, iterable: Iterable[Any], deepcopy: bool = True) -> None:
        self.iterable = iterable
        self.deepcopy = deepcopy

    def __iter__(self) -> Iterator[Any]:
        yield from copy.deepcopy(self.iterable) if self.deepcopy else self.iterable

    def __len__(self) -> int:
        return len(self.iterable)  # type: ignore[arg-type]


class _Over(IterDataPipe):
    def __init__(self, datapipe: Any) -> None:
        self.datapipe = datapipe

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("map")
class Mapper(_Over):
    """`fn` of each item, or of one part of it (`input_col`), which takes that part's place or goes to `output_col`."""

    def __init__(self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None) -> None:
        super().__init__(datapipe)
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        self.fn = fn
        self.input_col = input_col
        self.output_col = output_col

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


@functional_datapipe("collate")
class Collator(_Over):
    """Each item (a batch) as one of tensors."""

    def __init__(self, datapipe: Any, conversion: Any = None, collate_fn: Callable[..., Any] | None = None) -> None:
        super().__init__(datapipe)
        if isinstance(conversion, dict):
            raise NotImplementedError(
                "Collator: conversions of data frames' columns are not supported: pass collate_fn"
            )
        self.collate_fn: Callable[..., Any] = collate_fn or conversion or default_collate

    def __iter__(self) -> Iterator[Any]:
        for item in self.datapipe:
            yield self.collate_fn(item)


@functional_datapipe("filter")
class Filter(IterDataPipe):
    """The items for which `filter_fn` (of one part with `input_col`) is true."""

    def __init__(self, datapipe: Any, filter_fn: Callable[..., bool], input_col: Any = None) -> None:
        self.datapipe = datapipe
        self.filter_fn = filter_fn
        self.input_col = input_col

    def __iter__(self) -> Iterator[Any]:
        for item in self.datapipe:
            column = self.input_col
            given = (
                (item,)
                if column is None
                else [item[c] for c in column]
                if isinstance(column, (list, tuple))
                else (item[column],)
            )
            kept = self.filter_fn(*given)
            if not isinstance(kept, bool):
                raise ValueError(f"Boolean output is required for `filter_fn` of FilterIterDataPipe, got {type(kept)}")
            if kept:
                yield item


@functional_datapipe("batch")
class Batcher(IterDataPipe):
    """Lists of `batch_size` items; the last one may be shorter, unless `drop_last`."""

    datapipe: Any
    batch_size: int
    drop_last: bool
    wrapper_class: Any

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = DataChunk) -> None:
        if batch_size <= 0:
            raise AssertionError(message("batch_size_not_positive"))
        self.datapipe, self.batch_size, self.drop_last, self.wrapper_class = (
            datapipe,
            batch_size,
            drop_last,
            wrapper_class,
        )

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
        whole, rest = divmod(len(self.datapipe), self.batch_size)
        return whole + bool(rest and not self.drop_last)


@functional_datapipe("unbatch")
class UnBatcher(IterDataPipe):
    """The items of batches, `unbatch_level` deep; -1: of all lists in lists."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1) -> None:
        if unbatch_level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        self.datapipe = datapipe
        self.unbatch_level = unbatch_level

    def __iter__(self) -> Iterator[Any]:
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


@functional_datapipe("shuffle")
class Shuffler(_Over):
    """The items in random order, drawn from a buffer of `buffer_size`; `set_seed` fixes it."""

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0) -> None:
        if buffer_size <= 0:
            raise ValueError("buffer_size should be larger than 0")
        super().__init__(datapipe if unbatch_level == 0 else UnBatcher(datapipe, unbatch_level))
        self.buffer_size = buffer_size
        self._enabled = True
        self._seed = None

    def set_shuffle(self, shuffle: bool = True) -> Shuffler:
        """Whether the order is changed at all."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> Shuffler:
        """The seed of the next iteration."""
        self._seed = seed  # type: ignore[assignment]
        return self

    def __iter__(self) -> Iterator[Any]:
        if not self._enabled:
            yield from self.datapipe
            return
        seed = self._seed
        if seed is None:
            from .....core.dispatch.operator import namespaces

            seed = int(empty((), dtype=_int64()).random_().item())
        draw, self._seed = random.Random(seed), None
        buffer: list[Any] = []
        for item in self.datapipe:
            if len(buffer) == self.buffer_size:
                at = draw.randint(0, len(buffer) - 1)
                out, buffer[at] = buffer[at], item
                yield out
            else:
                buffer.append(item)
        while buffer:
            yield buffer.pop(draw.randint(0, len(buffer) - 1))


def _int64() -> Any:
    from .....core.array import dtypes

    return dtypes.int64


@functional_datapipe("sharding_filter")
class ShardingFilter(IterDataPipe):
    """Every `num_of_instances`th item, from the `instance_id`th on; all of them until `apply_sharding` was called."""

    def __init__(self, source_datapipe: Any, sharding_group_filter: Any = None) -> None:
        self.source_datapipe = source_datapipe
        self.num_of_instances: int = 1
        self.instance_id: int = 0

    def apply_sharding(self, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> None:
        """Say which part this one gives."""
        if instance_id >= num_of_instances:
            limit = f"num_of_instances({num_of_instances})"
            raise ValueError(f"instance_id({instance_id}) should be smaller than {limit}")
        self.num_of_instances = num_of_instances
        self.instance_id = instance_id

    def __iter__(self) -> Iterator[Any]:
        for k, item in enumerate(self.source_datapipe):
            if k % self.num_of_instances == self.instance_id:
                yield item


@functional_datapipe("concat")
class Concater(IterDataPipe):
    """The items of several pipes, one pipe after the other."""

    def __init__(self, *datapipes: Any) -> None:
        if not datapipes:
            raise ValueError("Expected at least one DataPipe, but got nothing")
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError("Expected all inputs to be `IterDataPipe`")
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        for pipe in self.datapipes:
            yield from pipe

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(IterDataPipe):
    """Tuples of one item from each pipe, as long as all have some."""

    def __init__(self, *datapipes: Any) -> None:
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError(message("zip_of_no_datapipes"))
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))


from . import combinatorics  # noqa: E402
