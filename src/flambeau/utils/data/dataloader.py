"""`DataLoader`: batches of a data set."""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import weakref
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from flambeau.core.context.generator import Generator
from flambeau.core.tensor.tensor import from_host
from flambeau.utils.data._utils.collate import default_collate, default_convert
from flambeau.utils.data._utils.host import on_host
from flambeau.utils.data._utils.worker import Failure, Worker, WorkerInfo, get_worker_info
from flambeau.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_T_co = TypeVar("_T_co", covariant=True)
_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class DataLoader(Generic[_T_co]):
    """Iterates over batches of a data set, by index or streamed, each made by `collate_fn`.

    `batch_size=None` turns batching off. With `num_workers` > 0 that many threads of this process make up to
    `prefetch_factor` batches each ahead of time, in order; they share the data set and the random generators, and an
    error in one is raised in the loop. `pin_memory`, `pin_memory_device`, `persistent_workers`, `in_order` and
    `multiprocessing_context` are accepted and change nothing.
    """

    def __init__(
        self,
        dataset: Dataset[_T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        multiprocessing_context = _context(multiprocessing_context)
        _check_order(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size = None
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.in_order = in_order
        self.persistent_workers = persistent_workers
        if sampler is None:
            sampler = _default_sampler(dataset, shuffle, generator)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "_initialized" in self.__dict__:
            raise ValueError(f"{name} of a {type(self).__name__} can't be changed: make a new one")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        return _ThreadedIterator(self) if self.num_workers else _SerialIterator(self)

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
        length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + bool(rest and not self.drop_last)


def _check_workers(num_workers: int, timeout: float, prefetch_factor: Any, persistent: bool, context: Any) -> None:
    if num_workers < 0:
        raise ValueError(
            f"num_workers option should be non-negative (0 loads in the caller's thread), got {num_workers}"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, got {timeout}")
    if num_workers == 0:
        if prefetch_factor is not None:
            raise ValueError(f"prefetch_factor={prefetch_factor} needs num_workers > 0; leave it None otherwise")
        if persistent:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if context is not None:
            raise ValueError("multiprocessing_context can only be used with num_workers > 0, but got num_workers=0")
    elif prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError(f"prefetch_factor option should be non-negative, got {prefetch_factor}")


def _context(given: Any) -> Any:
    """A `multiprocessing` context, given itself or by the name of its start method."""
    methods = multiprocessing.get_all_start_methods()
    if isinstance(given, str):
        if given not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={given!r}"
            )
        return multiprocessing.get_context(given)
    if given is not None and not isinstance(given, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={given}"
        )
    return given


def _check_order(
    dataset: Any, batch_size: int | None, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    """Each question (which samples, in which order, how many at a time) may be answered by one argument only."""
    if isinstance(dataset, IterableDataset):
        for name, value in {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}.items():
            if value is not None:
                raise ValueError(f"an IterableDataset has an order of its own: leave {name} out, got {name}={value}")
    if batch_sampler is not None:
        others = {
            "batch_size": batch_size != 1,
            "shuffle": shuffle,
            "sampler": sampler is not None,
            "drop_last": drop_last,
        }
        if given := [name for name, is_given in others.items() if is_given]:
            raise ValueError(f"batch_sampler says which batches there are: leave out {', '.join(given)}")
    elif batch_size is None and drop_last:
        raise ValueError("batch_size=None turns batching off, so there is no last batch to drop: leave drop_last out")
    if shuffle and sampler is not None:
        raise ValueError("sampler says the order: leave shuffle out")


def _default_sampler(dataset: Any, shuffle: bool | None, generator: Generator | None) -> Sampler[Any]:
    if isinstance(dataset, IterableDataset):
        return _Endless()
    return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)


class _Endless(Sampler[None]):
    """The sampler of a stream: it says "one more" for ever."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


# --- making one batch ------------------------------------------------------------------------------------------------


def _make_fetch(loader: DataLoader[Any]) -> Callable[[Any], Any]:
    """A function from what the sampler yields (an index, a list of indices, "one more") to a collated batch.

    It does not hold on to the loader. It raises StopIteration when a stream has ended.
    """
    dataset: Any = loader.dataset
    collate: Callable[[Any], Any] = loader.collate_fn
    batched = loader.batch_sampler is not None
    if isinstance(dataset, IterableDataset):
        stream = iter(dataset)
        if not batched:
            return lambda _: collate(next(stream))
        least = (loader.drop_last and loader.batch_size) or 1

        def fetch_from_stream(request: list[None]) -> Any:
            samples = list(itertools.islice(stream, len(request)))
            if len(samples) < least:
                raise StopIteration
            return collate(samples)

        return fetch_from_stream
    if not batched:
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


# --- iterating -------------------------------------------------------------------------------------------------------


class _Iterator(Iterator[Any]):
    def __init__(self, loader: DataLoader[Any]) -> None:
        # PyTorch draws this whether it is needed or not, and whoever seeds counts on the draws that follow.
        self._base_seed = draw_seed(loader.generator)
        self._loader = loader
        self._requests = iter(loader.sampler if loader.batch_sampler is None else loader.batch_sampler)

    def __len__(self) -> int:
        return len(self._loader)


class _SerialIterator(_Iterator):
    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        self._fetch = _make_fetch(loader)

    def __next__(self) -> Any:
        return self._fetch(next(self._requests))


class _ThreadedIterator(_Iterator):
    """Batch `k` comes from worker `k % num_workers`, so that the order is the sampler's whatever the workers' speed.

    The sampler itself is advanced here, in the caller's thread: its random draws come in a fixed order.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        count = loader.num_workers
        self._timeout = loader.timeout or None
        self._workers = [
            Worker(
                WorkerInfo(i, count, self._base_seed + i, loader.dataset),
                lambda: _make_fetch(loader),
                loader.worker_init_fn,
            )
            for i in range(count)
        ]
        self._finalizer = weakref.finalize(self, _stop_all, self._workers)
        self._order: list[Worker] = []  # the workers that owe the next batches
        self._turn = 0
        self._ended: set[int] = set()
        for _ in range(max(1, loader.prefetch_factor or 0) * count):
            self._request()

    def _request(self) -> None:
        """Ask the next worker whose stream has not ended for one more batch."""
        live = [i for i in range(len(self._workers)) if i not in self._ended]
        if not live:
            return
        try:
            request = next(self._requests)
        except StopIteration:
            return
        while self._turn % len(self._workers) in self._ended:
            self._turn += 1
        worker = self._workers[self._turn % len(self._workers)]
        self._turn += 1
        worker.requests.put((request,))
        self._order.append(worker)

    def __next__(self) -> Any:
        while self._order:
            worker = self._order.pop(0)
            try:
                answer = worker.answers.get(timeout=self._timeout)
            except queue.Empty:
                self._finalizer()
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds") from None
            if isinstance(answer, Failure):
                if isinstance(answer.error, StopIteration) and isinstance(self._loader.dataset, IterableDataset):
                    self._ended.add(self._workers.index(worker))
                    self._order = [w for w in self._order if w is not worker]
                    self._request()
                    continue
                self._request()
                raise answer.error
            self._request()
            return answer
        self._finalizer()
        raise StopIteration


def _stop_all(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
