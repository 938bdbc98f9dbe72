"""The items of data pipes in another order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sized
from typing import Any

from .....core.array.dtypes import int64
from .....core.dispatch.messages import message
from .....ops.making.constants import empty
from ...sampler import SequentialSampler
from ..datapipe import IterDataPipe, functional_datapipe
from .grouping import UnBatcherIterDataPipe
from .utils import of_length

__all__ = ["SamplerIterDataPipe", "ShufflerIterDataPipe"]


class SamplerIterDataPipe(IterDataPipe):
    """What a sampler (a class, made with the pipe as its `data_source`) gives."""

    datapipe: IterDataPipe

    def __init__(
        self, datapipe: Any, sampler: Any = SequentialSampler, sampler_args: Any = None, sampler_kwargs: Any = None
    ) -> None:
        if not isinstance(datapipe, Sized):
            raise AssertionError(message("pipe_sampler_of_no_length"))
        super().__init__()
        self.datapipe = datapipe  # type: ignore[assignment]
        self.sampler_args = () if sampler_args is None else sampler_args
        self.sampler_kwargs = {**(sampler_kwargs or {}), "data_source": datapipe}
        self.sampler = sampler(*self.sampler_args, **self.sampler_kwargs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sampler)

    def __len__(self) -> int:
        return of_length(self, self.sampler)


def drawn_seed() -> int:
    """A seed from the generator, as a pipe that was given none takes it."""
    return int(empty((), dtype=int64).random_().item())


@functional_datapipe("shuffle")
class ShufflerIterDataPipe(IterDataPipe):
    """The items in random order, drawn from a buffer of `buffer_size`; `set_seed` fixes it."""

    datapipe: IterDataPipe
    buffer_size: int

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0) -> None:
        super().__init__()
        self._buffer: list[Any] = []
        if buffer_size <= 0:
            raise AssertionError("buffer_size should be larger than 0")
        self.datapipe = datapipe if unbatch_level == 0 else UnBatcherIterDataPipe(datapipe, unbatch_level)
        self.buffer_size = buffer_size
        self._enabled = True
        self._seed: int | None = None
        self._rng = random.Random()

    def set_shuffle(self, shuffle: bool = True) -> ShufflerIterDataPipe:
        """Whether the order is changed at all."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> ShufflerIterDataPipe:
        """The seed of the next iteration."""
        self._seed = seed
        return self

    def reset(self) -> None:
        """Nothing is in the buffer, and the seed is used or drawn."""
        self._buffer = []
        if self._enabled:
            self._rng.seed(drawn_seed() if self._seed is None else self._seed)
            self._seed = None

    def __iter__(self) -> Iterator[Any]:
        if not self._enabled:
            yield from self.datapipe
            return
        for item in self.datapipe:
            if len(self._buffer) == self.buffer_size:
                at = self._rng.randint(0, len(self._buffer) - 1)
                out, self._buffer[at] = self._buffer[at], item
                yield out
            else:
                self._buffer.append(item)
        while self._buffer:
            yield self._buffer.pop(self._rng.randint(0, len(self._buffer) - 1))

    def __len__(self) -> int:
        return of_length(self, self.datapipe)
