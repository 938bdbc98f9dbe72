"""What a loader's `iter` gives: batches made here, or by worker processes ahead of time."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.process
import multiprocessing.spawn
import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

from flambeau._utils import ExceptionWrapper
from flambeau.core.array.devices import jax_devices
from flambeau.core.context import doors
from flambeau.core.context.generator import Generator
from flambeau.utils.data._utils import transport
from flambeau.utils.data._utils.fetch import make_fetch
from flambeau.utils.data._utils.worker import StreamEnded, Task, _sharding_worker_init_fn, serve
from flambeau.utils.data.datapipes.datapipe import IterDataPipe, MapDataPipe
from flambeau.utils.data.graph_settings import apply_random_seed
from flambeau.utils.data.sampler import draw_seed


def _size(loader: Any) -> int | None:
    """How batches are made: None for none, 0 where a sampler of the user's says their size."""
    return (loader.batch_size or 0) if loader._auto_collation else None


def _begin(loader: Any) -> Any:
    """What a worker calls first: data pipes are told which of the workers it is."""
    if not isinstance(loader.dataset, (IterDataPipe, MapDataPipe)):
        return loader.worker_init_fn
    return functools.partial(_sharding_worker_init_fn, loader.worker_init_fn, 1, 0)


class _BaseDataLoaderIter(Iterator[Any]):
    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._num_yielded = 0
        self._IterableDataset_len_called = loader._IterableDataset_len_called
        if loader.pin_memory and not jax_devices("cuda"):
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used.",
                stacklevel=4,
            )

        # PyTorch draws this whether it is needed or not, and whoever seeds counts on the draws that follow.
        self._look_at(loader)
        self._seed_pipes(loader)
        self._base_seed = draw_seed(loader.generator)
        self._sampler_iter = iter(loader._index_sampler)

    def _look_at(self, loader: Any) -> None:
        """What iterators of others, which are built on this one, read."""
        self._dataset, self._dataset_kind = loader.dataset, loader._dataset_kind
        self._auto_collation, self._drop_last = loader._auto_collation, loader.drop_last
        self._index_sampler, self._collate_fn = loader._index_sampler, loader.collate_fn
        self._num_workers, self._timeout = loader.num_workers, loader.timeout
        self._persistent_workers = loader.persistent_workers
        self._pin_memory = bool(loader.pin_memory and jax_devices("cuda"))
        self._pin_memory_device = None
        self._world_size, self._rank, self._pg = 1, 0, None

    def _seed_pipes(self, loader: Any) -> None:
        """Data pipes shuffle by one seed for all workers, drawn at the beginning of each epoch."""
        self._shared_seed = draw_seed(loader.generator) if isinstance(loader.dataset, IterDataPipe) else None
        if self._shared_seed is not None:
            apply_random_seed(loader.dataset, Generator().manual_seed(self._shared_seed))

    def _next_index(self) -> Any:
        """What the sampler yields next."""
        return next(self._sampler_iter)

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        self._seed_pipes(loader)
        self._num_yielded = 0
        self._IterableDataset_len_called = loader._IterableDataset_len_called
        self._sampler_iter = iter(loader._index_sampler)

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        batch = self._next_data()
        self._num_yielded += 1
        told = self._IterableDataset_len_called
        if told is not None and self._num_yielded > told:
            warnings.warn(
                f"Length of IterableDataset {self._loader.dataset} was reported to be {told}(when accessing len(dataloader)), "
                f"but {self._num_yielded} samples have been fetched.",
                UserWarning,
                stacklevel=2,
            )
        return batch

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        stream = loader._dataset_kind == 1
        self._fetch = make_fetch(loader.dataset, loader.collate_fn, _size(loader), loader.drop_last, stream)

    def _next_data(self) -> Any:
        return self._fetch(self._next_index())


# --- processes -------------------------------------------------------------------------------------------------------


_starting = threading.Lock()
_PROCESS = os.getpid()  # Python's server takes no orders from a process that was forked from the one that started it


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """While processes are started here they are not told to run the script again: they get what they need by value."""
    told = multiprocessing.spawn.get_preparation_data
    with _starting:
        multiprocessing.spawn.get_preparation_data = lambda name: {  # type: ignore[assignment]
            key: value for key, value in told(name).items() if not key.startswith("init_main")
        }
        try:
            yield
        finally:
            multiprocessing.spawn.get_preparation_data = told


def _context(loader: Any) -> Any:
    """The loader's way of starting processes: a server from which they are forked, unless another is asked for."""
    if loader.multiprocessing_context is not None:
        return loader.multiprocessing_context
    served = "forkserver" in multiprocessing.get_all_start_methods() and os.getpid() == _PROCESS
    context = multiprocessing.get_context("forkserver" if served else "spawn")
    server = getattr(multiprocessing.forkserver, "_forkserver", None)
    if served and getattr(server, "_preload_modules", None) == ["__main__"]:  # nobody has asked for others
        context.set_forkserver_preload(["flambeau.utils.data._utils.worker"])
    return context


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, context: Any, number: int, task: Task | None):
        self.number = number
        self.pipe, theirs = context.Pipe(duplex=True)
        self.process = context.Process(
            target=serve, args=(theirs, number, task), daemon=True, name=f"DataLoader-{number}"
        )
        with _without_main():
            self.process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def gone(self) -> RuntimeError:
        """What to say when the process has ended without being asked to."""
        self.process.join(2)
        code = self.process.exitcode
        how = (
            f"it was killed by signal {signal.Signals(-code).name}"
            if code is not None and code < 0
            else f"with code {code}"
        )
        cure = "; is there enough memory?" if code == -signal.SIGKILL else ""
        return RuntimeError(f"DataLoader worker (pid(s) {self.pid}) exited unexpectedly ({how}{cure})")

    def tell(self, kind: str, number: int = 0, request: Any = None) -> None:
        try:
            self.pipe.send((kind, number, request))
        except (BrokenPipeError, ConnectionResetError):
            raise self.gone() from None

    def answer(self, timeout: float | None) -> Any:
        """`(number, batch)`. TimeoutError when there is none in time."""
        try:
            if timeout is not None and not self.pipe.poll(timeout):
                raise TimeoutError
            return transport.receive(self.pipe)
        except (EOFError, ConnectionResetError):
            raise self.gone() from None


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        with contextlib.suppress(OSError):
            worker.pipe.send(None)
        worker.pipe.close()
    until = time.monotonic() + 5
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join(5)  # one that is not waited for stays among this process's children, also in its forks
    workers.clear()


_open: weakref.WeakSet[_MultiProcessingDataLoaderIter] = weakref.WeakSet()  # iterators that have workers


def _leave_to_the_parent() -> None:
    """In a process that was forked from one that loads data: the workers are the other's, and stay so when this one ends."""
    iterator: Any
    for iterator in list(_open):
        iterator._finalizer.detach()
        for worker in iterator._workers:
            worker.pipe.close()
            multiprocessing.process._children.discard(worker.process)  # type: ignore[attr-defined]
        iterator._workers.clear()
        loader = iterator._loader
        if getattr(loader, "_iterator", None) is iterator:
            loader._iterator = None  # what `persistent_workers` would use again


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Batch `k` comes from worker `k % num_workers`, so that the order is the sampler's whatever the workers' speed.

    The sampler itself is advanced here: its random draws come in a fixed order.
    """

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._timeout = loader.timeout or None
        self._in_order = loader.in_order
        self._stream = loader._dataset_kind == 1
        self._number = 0
        self._workers: list[_Worker] = []
        self._finalizer = weakref.finalize(self, _end, self._workers)
        self._process = os.getpid()
        _open.add(self)
        self._start(loader)
        self._seed_pipes(loader)  # PyTorch draws once more here, and does not use it
        self._refill(loader)

    def _start(self, loader: Any) -> None:
        context = _context(loader)
        tasks = [
            Task(
                number, loader.num_workers, self._base_seed, loader.dataset, loader.collate_fn, _size(loader), loader.drop_last,
                self._stream, _begin(loader), self._shared_seed,
            )
            for number in range(loader.num_workers)
        ]  # fmt: skip
        inherited = context.get_start_method() == "fork"
        packets = [] if inherited else [_packed(task) for task in tasks]
        first = transport.Packet(list(doors.in_workers))  # before the task, whose classes may come by other names
        try:
            for number, task in enumerate(tasks):
                self._workers.append(_Worker(context, number, task if inherited else None))
                if not inherited:
                    try:
                        first.send(self._workers[-1].pipe, self._workers[-1].pid)
                        packets[number].send(self._workers[-1].pipe, self._workers[-1].pid)
                    except (BrokenPipeError, ConnectionResetError):
                        raise self._workers[-1].gone() from None
        except BaseException:
            self._finalizer()
            raise
        finally:
            for packet in packets:
                packet.close()

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        while self._order:  # what an earlier loop left
            self._answered()
        super()._reset(loader)
        for worker in self._workers:
            worker.tell("again", request=self._shared_seed)
        self._refill(loader)

    def _refill(self, loader: Any) -> None:
        self._order: list[tuple[int, _Worker]] = []  # the batches that are owed, and by whom
        self._turn = 0
        self._ended: set[int] = set()
        for _ in range(max(1, loader.prefetch_factor or 0) * len(self._workers)):
            self._request()

    def _request(self) -> None:
        """Ask the next worker whose stream has not ended for one more batch."""
        if len(self._ended) == len(self._workers):
            return
        try:
            request = self._next_index()
        except StopIteration:
            return
        while self._turn % len(self._workers) in self._ended:
            self._turn += 1
        self._ask(self._workers[self._turn % len(self._workers)], request)
        self._turn += 1

    def _ask(self, worker: _Worker, request: Any) -> None:
        worker.tell("fetch", self._number, request)
        self._order.append((self._number, worker))
        self._number += 1

    def _answered(self) -> tuple[_Worker, Any]:
        """The next batch, in order or as they come, and who made it."""
        if self._in_order:
            number, worker = self._order.pop(0)
        else:
            owing = {worker.pipe: worker for _, worker in self._order}
            ready = multiprocessing.connection.wait(list(owing), self._timeout)
            if not ready:
                raise self._late()
            worker = owing[ready[0]]  # type: ignore[index]
            number = next(n for n, w in self._order if w is worker)
            self._order.remove((number, worker))
        try:
            while (answer := worker.answer(self._timeout))[0] != number:
                pass  # the end of a stream, told again for each batch that was asked for besides
            return worker, answer[1]
        except TimeoutError:
            raise self._late() from None
        except RuntimeError:
            self._finalizer()
            self._order.clear()
            raise

    def _late(self) -> RuntimeError:
        self._finalizer()
        self._order.clear()
        return RuntimeError(f"DataLoader timed out after {self._timeout:g} seconds")

    def _next_data(self) -> Any:
        if self._process != os.getpid():
            raise RuntimeError(
                "the workers of this DataLoader's iterator belong to the process from which this one was forked: make an "
                "iterator of your own, iter(loader)"
            )
        while self._order:
            worker, batch = self._answered()
            if isinstance(batch, StreamEnded):
                self._ended.add(worker.number)
                self._order = [(n, w) for n, w in self._order if w is not worker] if self._in_order else self._order
                self._request()
                continue
            if not (self._stream and worker.number in self._ended):
                self._request()
            if isinstance(batch, ExceptionWrapper):
                batch.reraise()
            return batch
        if not self._loader.persistent_workers:
            self._finalizer()
        raise StopIteration

    def _shutdown_workers(self) -> None:
        self._finalizer()


def _packed(task: Task) -> transport.Packet:
    transport.by_value(type(task.dataset), task.collate, task.init)
    try:
        return transport.Packet(task)
    except Exception as error:
        raise type(error)(
            f"{error}. The data set, collate_fn and worker_init_fn of a DataLoader with num_workers > 0 go to worker processes, "
            "but this one can't be pickled: leave out what holds files, locks or generators (open them in the worker), take "
            'multiprocessing_context="fork", or num_workers=0'
        ) from error
