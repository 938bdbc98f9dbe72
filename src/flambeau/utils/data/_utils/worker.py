"""A worker: a process that makes batches ahead of time, from a copy of the data set."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from flambeau._utils import ExceptionWrapper
from flambeau.core.context.generator import Generator
from flambeau.utils.data._utils import transport
from flambeau.utils.data._utils.fetch import make_fetch

from ....ops.random.factories import manual_seed


@dataclass
class WorkerInfo:
    """What a worker knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str = "multiprocessing"


# What follows up to `StreamEnded` is for loaders of others, whose workers have queues.
HAS_NUMPY = True
IS_WINDOWS = sys.platform == "win32"
MP_STATUS_CHECK_INTERVAL = 5.0  # seconds after which one looks whether the other process lives


@dataclass(frozen=True)
class _IterableDatasetStopIteration:
    """In place of a batch: this worker's part of an IterableDataset is over."""

    worker_id: int


@dataclass(frozen=True)
class _ResumeIteration:
    """In place of a request: begin again, with this seed for what the workers share."""

    seed: int | None = None


class ManagerWatchdog:
    """In a worker: whether the process that started it still lives."""

    def __init__(self) -> None:
        self.manager_pid: int = os.getppid()
        self.manager_dead = False

    def is_alive(self) -> bool:
        """Whether it does."""
        self.manager_dead = self.manager_dead or os.getppid() != self.manager_pid
        return not self.manager_dead


@dataclass(frozen=True)
class StreamEnded:
    """In place of a batch: the worker's part of an IterableDataset is over."""


@dataclass
class Task:
    """What a worker needs to begin."""

    id: int
    num_workers: int
    base_seed: int
    dataset: Any
    collate: Callable[[Any], Any]
    batch_size: int | None
    drop_last: bool
    is_stream: bool
    init: Callable[[int], None] | None
    shared_seed: int | None = None  # for data pipes


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker: its `id`, `num_workers`, `seed` and `dataset`. Elsewhere None."""
    return _worker_info


def _sharding_worker_init_fn(worker_init_fn: Any, world_size: int, rank_id: int, worker_id: int) -> None:
    """In a worker: tell the data pipes which of all processes' workers this is."""
    info = get_worker_info()
    if info is None:
        raise RuntimeError("_sharding_worker_init_fn is called in a DataLoader's worker only")
    from flambeau.utils.data.graph_settings import apply_sharding

    apply_sharding(info.dataset, world_size * info.num_workers, rank_id + world_size * worker_id)
    if worker_init_fn is not None:
        worker_init_fn(worker_id)


def _prepare() -> None:
    """A worker is one thread of work on the CPU, and leaves Ctrl-C to the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import jax

    from flambeau.core.tensor.forking import clients

    if not clients():  # XLA starts here with the first computation
        jax.config.update("jax_platforms", "cpu")
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """Four numbers for the generator of NumPy in a worker."""
    sequence = np.random.SeedSequence([worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0])
    return [int(number) for number in sequence.generate_state(4)]


def _seed(task: Task) -> None:
    """The generators of Python, NumPy and flambeau, each worker's its own, as PyTorch's workers have them."""
    global _worker_info
    seed = task.base_seed + task.id
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(_generate_state(task.base_seed, task.id))
    _worker_info = WorkerInfo(task.id, task.num_workers, seed, task.dataset)


def _seed_pipes(task: Task, seed: int | None) -> None:
    if seed is not None:
        from flambeau.utils.data.graph_settings import apply_random_seed

        apply_random_seed(task.dataset, Generator().manual_seed(seed))


def _where(task_id: int) -> str:
    return f"in DataLoader worker process {task_id}"


def _fetch_of(task: Task) -> Callable[[Any], Any]:
    return make_fetch(task.dataset, task.collate, task.batch_size, task.drop_last, task.is_stream)


def _answer(task: Task, fetch: Any, request: Any) -> Any:
    from flambeau.utils.data.dataset import IterableDataset

    if isinstance(fetch, ExceptionWrapper):
        return fetch
    try:
        return fetch(request)
    except StopIteration as error:
        if isinstance(task.dataset, IterableDataset):
            return StreamEnded()
        return ExceptionWrapper((type(error), error, error.__traceback__), where=_where(task.id))
    except Exception:
        return ExceptionWrapper(where=_where(task.id))


def _send(connection: Connection, number: int, answer: Any, task_id: int) -> None:
    try:
        packet = transport.Packet((number, answer))
    except Exception:
        packet = transport.Packet((number, ExceptionWrapper(where=_where(task_id))))
    try:
        packet.send(connection, os.getppid())
    finally:
        packet.close()


def _received(connection: Connection, parent: int) -> Any:
    """The next request; None when there is none any more."""
    while not connection.poll(5):
        if os.getppid() != parent:  # whoever started this process is gone
            return None
    try:
        return connection.recv()
    except EOFError:
        return None


def serve(connection: Connection, number: int, task: Task | None = None) -> None:
    """Begin with a task, which is sent if it isn't given, and answer requests in the order in which they come."""
    _prepare()
    parent = os.getppid()
    fetch: Any
    try:
        for prepare in transport.receive(connection) if task is None else ():
            prepare()
        task = task or transport.receive(connection)
        _seed(task)
        _seed_pipes(task, task.shared_seed)
        if task.init is not None:
            task.init(task.id)
        fetch = _fetch_of(task)
    except EOFError:
        return
    except Exception:
        fetch = ExceptionWrapper(where=_where(number))
    while (request := _received(connection, parent)) is not None:
        kind, at, wanted = request
        if kind == "again":
            if task is not None:
                _seed_pipes(task, wanted)
            fetch = fetch if isinstance(fetch, ExceptionWrapper) or task is None else _fetch_of(task)
            continue
        try:
            _send(connection, at, _answer(task, fetch, wanted), number)  # type: ignore[arg-type]
        except (BrokenPipeError, ConnectionResetError):
            return
