"""Workers: threads that make batches ahead of time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker: its `id`, `num_workers`, `seed` and `dataset`. Elsewhere None."""
    return getattr(_here, "info", None)


@dataclass(frozen=True)
class Failure:
    """An exception on its way from a worker to the loop that waits for the batch."""

    error: BaseException


class Worker:
    """One thread that answers requests in the order in which they come.

    The thread refers to the queues only, never to the loader's iterator, so an iterator that is dropped half way is
    collected and stops it.
    """

    def __init__(self, info: WorkerInfo, make_fetch: Callable[[], Callable[[Any], Any]], init: Any) -> None:
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.thread = threading.Thread(
            target=_serve,
            args=(info, make_fetch, init, self.requests, self.answers, self.stopped),
            name=f"flambeau-data-{info.id}",
            daemon=True,
        )
        self.thread.start()

    def stop(self) -> None:
        """End the thread after what it is doing now."""
        self.stopped.set()
        self.requests.put(None)


def _serve(info: WorkerInfo, make_fetch: Any, init: Any, requests: Any, answers: Any, stopped: Any) -> None:
    _here.info = info
    fetch = None
    while (request := requests.get()) is not None and not stopped.is_set():
        try:
            if fetch is None:
                if init is not None:
                    init(info.id)
                fetch = make_fetch()
            answers.put(fetch(request[0]))
        except BaseException as error:  # whatever it is, it belongs to whoever waits for this batch
            answers.put(Failure(error))
