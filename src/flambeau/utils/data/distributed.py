"""A sampler that gives each process its own part of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flambeau.core.context.generator import Generator
from flambeau.processes import groups
from flambeau.utils.data.sampler import Sampler

from ...ops.random.factories import randperm

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, beginning at `rank`, of the data set's in an order that all processes agree on.

    With `shuffle` the order follows `seed` and what `set_epoch` was told. The rest that doesn't go round is left out with
    `drop_last`, else filled up with the first indices. Number and rank come from the process group unless given. Raises
    ValueError for a rank that is not in [0, num_replicas - 1], or where a group is needed and there is none.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = groups.get_world_size()
        if rank is None:
            rank = groups.get_rank()
        if not 0 <= rank < num_replicas:
            allowed = f"[0, {num_replicas - 1}]"
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval {allowed}")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch: int = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        size = len(dataset)
        whole = drop_last and size % num_replicas
        self.num_samples: int = math.ceil((size - num_replicas if whole else size) / num_replicas)
        self.total_size: int = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            indices = randperm(size, generator=generator).tolist()
        else:
            indices = list(range(size))
        if self.drop_last:
            indices = indices[: self.total_size]
        elif missing := self.total_size - len(indices):
            indices += (indices * math.ceil(missing / len(indices)))[:missing]
        return iter(indices[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another order, the same for all processes: call it before each epoch's loop."""
        self.epoch = epoch
