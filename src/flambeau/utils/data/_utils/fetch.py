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
