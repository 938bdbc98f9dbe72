"""The items of a data pipe in another order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from ..datapipe import IterDataPipe, MapDataPipe
from ..iter.combinatorics import drawn_seed

__all__ = ["ShufflerIterDataPipe"]


class ShufflerIterDataPipe(IterDataPipe):
    """The items of a pipe that is asked by key (the keys are `indices`, or the numbers below its length) in random order."""

    datapipe: MapDataPipe

    def __init__(self, datapipe: Any, *, indices: list[Any] | None = None) -> None:
        super().__init__()
        self.datapipe = datapipe
        self.indices = list(range(len(datapipe))) if indices is None else indices
        self._enabled = True
        self._seed: int | None = None
        self._rng = random.Random()
        self._shuffled_indices: list[Any] = self.indices

    def set_shuffle(self, shuffle: bool = True) -> ShufflerIterDataPipe:
        """Whether the order is changed at all."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> ShufflerIterDataPipe:
        """The seed of the next iteration."""
        self._seed = seed
        return self

    def reset(self) -> None:
        """A new order, by the seed or by one that is drawn."""
        if self._enabled and self._seed is None:
            self._seed = drawn_seed()
        if self._enabled:
            self._rng.seed(self._seed)
            self._seed = None
            self._shuffled_indices = list(self.indices)
            self._rng.shuffle(self._shuffled_indices)
        else:
            self._shuffled_indices = self.indices

    def __iter__(self) -> Iterator[Any]:
        for key in self._shuffled_indices:
            yield self.datapipe[key]

    def __len__(self) -> int:
        return len(self.datapipe)  # type: ignore[arg-type]


MapDataPipe.register_datapipe_as_function("shuffle", ShufflerIterDataPipe)
