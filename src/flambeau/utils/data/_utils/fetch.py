"""From what the sampler yields to a batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from flambeau.core.tensor.tensor import from_host
from flambeau.utils.data._utils.collate import default_collate
from flambeau.utils.data._utils.host import on_host
from flambeau.utils.data.dataset import Subset, TensorDataset


def make_fetch(
    dataset: Any, collate: Callable[[Any], Any], batch_size: int | None, drop_last: bool, is_stream: bool
) -> Callable[[Any], Any]:
    """A function from what the sampler yields (an index, a list of indices, "one more") to a collated batch.

    `batch_size` is None where the loader does not make batches, 0 where the sampler alone says their size. A stream is
    iterated, a map indexed. It raises
    StopIteration when a stream has ended.
    """
    if is_stream:
        stream = iter(dataset)
        if batch_size is None:
            return lambda _: collate(next(stream))
        least = (drop_last and batch_size) or 1

        def fetch_from_stream(request: list[None]) -> Any:
            samples = list(itertools.islice(stream, len(request)))
            if len(samples) < least:
                raise StopIteration
            return collate(samples)

        return fetch_from_stream
    if batch_size is None:
        return lambda index: collate(dataset[index])

    def fetch(indices: list[Any]) -> Any:
        if collate is default_collate and (batch := _gather(dataset, indices)) is not None:
            return batch
        if callable(getattr(dataset, "__getitems__", None)):
            return collate(dataset.__getitems__(indices))
        return collate([dataset[i] for i in indices])

    return fetch


class _MapDatasetFetcher:
    """`fetch` gives a batch of a data set that is asked by index."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset, self.auto_collation = dataset, auto_collation
        self.collate_fn, self.drop_last = collate_fn, drop_last
        self._make = make_fetch(dataset, collate_fn, 0 if auto_collation else None, drop_last, False)

    def fetch(self, possibly_batched_index: Any) -> Any:
        """The batch of a list of indices, or one sample."""
        return self._make(possibly_batched_index)


class _IterableDatasetFetcher:
    """`fetch` gives the next batch of a stream; StopIteration at its end."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset, self.auto_collation = dataset, auto_collation
        self.collate_fn, self.drop_last = collate_fn, drop_last
        self.dataset_iter = iter(dataset)
        self.ended = False

    def fetch(self, possibly_batched_index: Any) -> Any:
        """As many samples as there are indices, of which only the number counts; or one sample."""
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.dataset_iter))
        wanted = len(possibly_batched_index)
        samples = list(itertools.islice(self.dataset_iter, wanted))
        self.ended = len(samples) < wanted
        if not samples or (self.drop_last and self.ended):
            raise StopIteration
        return self.collate_fn(samples)


def _gather(dataset: Any, indices: list[int]) -> list[Any] | None:
    """A batch of a plain TensorDataset (or a Subset of one) by one look-up per tensor; None for any other."""
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or not all(isinstance(i, int) for i in indices):
        return None
    looks = [on_host(tensor) for tensor in dataset.tensors]
    pairs = zip(dataset.tensors, looks, strict=True)
    return [tensor[indices] if look is None else from_host(look[indices]) for tensor, look in pairs]
