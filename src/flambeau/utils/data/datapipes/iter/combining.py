"""Several data pipes as one, and one as several."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from .....core.dispatch.messages import message
from ..datapipe import IterDataPipe, functional_datapipe
from ..utils.common import check_function
from .utils import of_length

__all__ = """
    ConcaterIterDataPipe DemultiplexerIterDataPipe ForkerIterDataPipe MultiplexerIterDataPipe ZipperIterDataPipe
""".split()


@functional_datapipe("concat")
class ConcaterIterDataPipe(IterDataPipe):
    """The items of several pipes, one pipe after the other."""

    datapipes: tuple[Any, ...]

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
        return sum(of_length(self, pipe) for pipe in self.datapipes)


@functional_datapipe("zip")
class ZipperIterDataPipe(IterDataPipe):
    """Tuples of one item from each pipe, as long as all have some."""

    datapipes: tuple[Any, ...]

    def __init__(self, *datapipes: Any) -> None:
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError(message("zip_of_no_datapipes"))
        super().__init__()
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        yield from zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(of_length(self, pipe) for pipe in self.datapipes)


@functional_datapipe("mux")
class MultiplexerIterDataPipe(IterDataPipe):
    """One item of each pipe in turn, until one has no more."""

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = datapipes

    def __iter__(self) -> Iterator[Any]:
        for items in zip(*self.datapipes, strict=False):
            yield from items

    def __len__(self) -> int:
        return min(of_length(self, pipe) for pipe in self.datapipes) * len(self.datapipes)


def _buffer_size(size: int, method: str) -> int:
    if size < 0:
        warnings.warn(message("pipe_buffer_unlimited", method=method))
    return size


class _Shared(IterDataPipe):
    """A pipe that several others read from, each at its own pace. A round begins when one of them begins again."""

    num_instances: int

    def __init__(self, datapipe: Any, num_instances: int, buffer_size: int) -> None:
        self.main_datapipe = datapipe
        self.num_instances = num_instances
        self.buffer_size = buffer_size
        self._iterator: Any = None
        self._ended = [False] * num_instances
        self._clear()

    def _clear(self) -> None:
        raise NotImplementedError

    def begin_round(self) -> None:
        """All are at the beginning again."""
        if self._valid_iterator_id >= 0 and not all(self._ended):
            warnings.warn(message("pipe_children_unread"), UserWarning)
        self._valid_iterator_id += 1
        self._iterator, self._ended = None, [False] * self.num_instances
        self._clear()

    def _drawn(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self.main_datapipe)
        return next(self._iterator)

    def next_of(self, instance_id: int) -> Any:
        """The next item of one of them. StopIteration at the end."""
        try:
            return self._next_of(instance_id)
        except StopIteration:
            self._ended[instance_id] = True
            raise

    def _next_of(self, instance_id: int) -> Any:
        raise NotImplementedError

    def get_length_by_instance(self, instance_id: int) -> int:
        """How many items one of them has."""
        raise TypeError(message("pipe_no_length", pipe=type(self).__name__))

    def __getstate__(self) -> Any:
        if type(self).getstate_hook is not None:
            return super().__getstate__()
        kept = {**self.__dict__, "_iterator": None, "_ended": [False] * self.num_instances}
        return {key: value for key, value in kept.items() if key not in ("_valid_iterator_id", "_buffers", "_buffer")}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        self._clear()


class _ForkerIterDataPipe(_Shared):
    _COPIES: Any = {None: lambda item: item, "shallow": copy.copy, "deep": copy.deepcopy}  # noqa: RUF012

    def __init__(self, datapipe: Any, num_instances: int, buffer_size: int = 1000, copy: Any = None) -> None:
        super().__init__(datapipe, num_instances, _buffer_size(buffer_size, "fork"))
        if copy not in self._COPIES:
            choices = "None, `shallow` or `deep`"
            raise ValueError(f"Unknown copy method `{copy}` requested, choose one of {choices}.")
        self._copy = copy

    def _clear(self) -> None:
        self._buffer: deque[Any] = deque()
        self._places = [0] * self.num_instances  # of the next item of each
        self._drawn_count = 0

    def _next_of(self, instance_id: int) -> Any:
        place = self._places[instance_id]
        if place == self._drawn_count:
            if self.buffer_size >= 0 and self._drawn_count + 1 > self.buffer_size + min(self._places):
                short = f"buffer size {self.buffer_size} is insufficient."
                raise BufferError(f"ForkerIterDataPipe buffer overflow,{short}")
            self._buffer.append(self._drawn())
            self._drawn_count += 1
        first = self._drawn_count - len(self._buffer)
        item = self._buffer[place - first]
        self._places[instance_id] += 1
        while self._buffer and min(self._places) > self._drawn_count - len(self._buffer):
            self._buffer.popleft()
        return self._COPIES[self._copy](item)

    def get_length_by_instance(self, instance_id: int) -> int:
        return len(self.main_datapipe)

    def __len__(self) -> int:
        return len(self.main_datapipe)


class _DemultiplexerIterDataPipe(_Shared):
    def __init__(
        self, datapipe: Any, num_instances: int, classifier_fn: Any, drop_none: bool, buffer_size: int
    ) -> None:
        super().__init__(datapipe, num_instances, _buffer_size(buffer_size, "demux"))
        self.classifier_fn, self.drop_none = classifier_fn, drop_none

    def _clear(self) -> None:
        self._buffers: list[deque[Any]] = [deque() for _ in range(self.num_instances)]

    def _next_of(self, instance_id: int) -> Any:
        if self._buffers[instance_id]:
            return self._buffers[instance_id].popleft()
        while True:
            item = self._drawn()
            to = self.classifier_fn(item)
            if to is None and self.drop_none:
                continue
            if to is None or to < 0 or to >= self.num_instances:
                limits = f"0 and {self.num_instances - 1}"
                raise ValueError(f"Output of the classification fn should be between {limits}. {to} is returned.")
            if to == instance_id:
                return item
            self._buffers[to].append(item)
            if 0 <= self.buffer_size < sum(map(len, self._buffers)):
                short = f"buffer size {self.buffer_size} is insufficient."
                raise BufferError(f"DemultiplexerIterDataPipe buffer overflow, {short}")


class _ChildDataPipe(IterDataPipe):
    """One of those that read from a pipe that is forked or divided."""

    _is_child_datapipe: bool = True

    def __init__(self, main_datapipe: Any, instance_id: int) -> None:
        self.main_datapipe = main_datapipe
        self.instance_id = instance_id

    def _begin(self) -> int:
        """This one begins: a round of all of them if it has begun in this one already."""
        main = self.main_datapipe
        if self._valid_iterator_id == main._valid_iterator_id:
            main.begin_round()
        self._valid_iterator_id = main._valid_iterator_id
        return self._valid_iterator_id

    def __iter__(self) -> Iterator[Any]:
        return _Rest(self.main_datapipe, self.instance_id)

    def __len__(self) -> int:
        return self.main_datapipe.get_length_by_instance(self.instance_id)  # type: ignore[no-any-return]


class _Rest:
    """The items that one has not had yet."""

    def __init__(self, main: Any, instance_id: int):
        self.main, self.instance_id = main, instance_id

    def __iter__(self) -> _Rest:
        return self

    def __next__(self) -> Any:
        return self.main.next_of(self.instance_id)


@functional_datapipe("fork")
class ForkerIterDataPipe(IterDataPipe):
    """Several pipes with the same items: each may be ahead of the slowest by `buffer_size` (-1: any number) of them."""

    def __new__(cls, datapipe: Any, num_instances: int, buffer_size: int = 1000, copy: Any = None) -> Any:
        if num_instances < 1:
            raise ValueError(message("pipe_instances", count=num_instances))
        if num_instances == 1:
            return datapipe
        main = _ForkerIterDataPipe(datapipe, num_instances, buffer_size, copy)
        return [_ChildDataPipe(main, k) for k in range(num_instances)]


@functional_datapipe("demux")
class DemultiplexerIterDataPipe(IterDataPipe):
    """Several pipes that share out the items: each goes to the one whose number `classifier_fn` says, None nowhere with `drop_none`."""

    def __new__(
        cls,
        datapipe: Any,
        num_instances: int,
        classifier_fn: Callable[[Any], int | None],
        drop_none: bool = False,
        buffer_size: int = 1000,
    ) -> Any:
        if num_instances < 1:
            raise ValueError(message("pipe_instances", count=num_instances))
        check_function(classifier_fn)
        main = _DemultiplexerIterDataPipe(datapipe, num_instances, classifier_fn, drop_none, buffer_size)
        return [_ChildDataPipe(main, k) for k in range(num_instances)]
