"""The link between ranks that are threads of one process: values by key in memory, where arrays lie as arrays."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, NoReturn

import numpy as np

from ..runtime.ranks import here
from .errors import DistBackendError
from .link import Link


class World:
    """All ranks of the process: what they have told each other, and who has ended."""

    def __init__(self, n: int):
        self.n = n
        self.changed = threading.Condition()
        self.boards: dict[Any, Board] = {}
        self.ended: set[int] = set()
        self.failed: tuple[int, BaseException] | None = None  # the first that has raised, and what

    def end(self, number: int, error: BaseException | None = None) -> None:
        """A thread has come to its end, or has raised: whoever waits for it sees that."""
        with self.changed:
            self.ended.add(number)
            if error is not None and self.failed is None:
                self.failed = number, error
            self.changed.notify_all()


class Board:
    """What the members of one link have put. `threads` are the members' numbers in the world, by rank."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.threads: dict[int, int] = {}
        self.left: set[int] = set()


class MemoryLink:
    """A `Link` of threads. Nothing is written as bytes: what one rank has put is copied by who reads it."""

    inline = math.inf  # values of any size go with the announcements

    def __init__(self, world: World, board: Board, rank: int, world_size: int):
        self.rank, self.world_size = rank, world_size
        self._world, self._board = world, board

    @staticmethod
    def pack(told: dict[str, Any], value: np.ndarray | None) -> Any:
        return dict(told), None if value is None else np.array(value)

    @staticmethod
    def unpack(raw: Any) -> tuple[dict[str, Any], Any]:
        told, value = raw
        return dict(told), None if value is None else np.array(value)

    def devices(self) -> NoReturn:
        """Raises NotImplementedError: programs of all ranks, and tensors that are cut over them, want processes."""
        raise NotImplementedError(
            "tensors that are cut over ranks (DTensor, fully_shard, FullyShardedDataParallel, parallelize_module) are not there where "
            "the ranks are threads of one process: start processes (flambeau launch --nproc-per-node), or use one mesh of all devices "
            "in a script that is run once (init_device_mesh, flambeau.parallel.shard)"
        )

    def put(self, key: str, value: Any, overwrite: bool = False) -> None:
        with self._world.changed:
            if key in self._board.values and not overwrite:
                raise DistBackendError(f"[Rank {self.rank}]: {key} has been put before")
            self._board.values[key] = value
            self._world.changed.notify_all()

    def find(self, key: str) -> Any:
        with self._world.changed:
            found = self._board.values.get(key)
            if found is None:
                self._see_who_has_failed()
            return found

    def get(self, key: str, until: float, source: int | None = None) -> Any:
        """A value, once it is there; None after the time. DistBackendError if `source`, or everybody, has gone without it."""
        with self._world.changed:
            while key not in self._board.values:
                self._see_who_has_failed()
                self._see_who_has_gone(source)
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._world.changed.wait(min(left, 0.5))  # Ctrl-C is seen between two
            return self._board.values[key]

    def _see_who_has_failed(self) -> None:
        failed = self._world.failed
        if failed is not None:
            number, error = failed
            ranks = [rank for rank, thread in self._board.threads.items() if thread == number] or [number]
            raise DistBackendError(
                f"[Rank {self.rank}]: rank {ranks[0]} has ended with {type(error).__name__}: {error}"
            ) from None

    def _see_who_has_gone(self, source: int | None) -> None:
        others = [source] if source is not None else [rank for rank in self._board.threads if rank != self.rank]
        gone = [r for r in others if r in self._board.left or self._board.threads[r] in self._world.ended]
        if len(gone) == len(others):
            raise DistBackendError(
                f"[Rank {self.rank}]: rank {', '.join(map(str, gone))} has left the group or ended, and does not come. Every rank of "
                "a group has to call the same collectives in the same order."
            )

    def claim(self, key: str) -> bool:
        with self._world.changed:
            self._see_who_has_failed()
            if key in self._board.values:
                return False
            self._board.values[key] = b"1"
            return True

    def under(self, start: str) -> list[str]:
        with self._world.changed:
            return [key for key in self._board.values if key.startswith(start)]

    def forget(self, key: str) -> None:
        with self._world.changed:
            for held in [k for k in self._board.values if k == key or k.startswith(key + "/")]:
                del self._board.values[held]

    def close(self) -> None:
        with self._world.changed:
            self._board.left.add(self.rank)
            self._world.changed.notify_all()


def linked(address: str, rank: int, world_size: int, timeout: float) -> Any:
    """The link of the ranks that meet at an address: of processes, or of this process's threads, where they are the ranks."""
    thread = here.rank
    if thread is None:
        return Link(address, rank, world_size, timeout)
    world: World = thread.world
    if world_size > world.n:
        raise ValueError(
            f"world_size={world_size}: this process has {world.n} ranks that are its threads, and they meet no other processes"
        )
    times = thread.met[address] = thread.met.get(address, 0) + 1
    until = time.monotonic() + timeout
    with world.changed:
        board = world.boards.setdefault((address, times), Board())
        if rank in board.threads:
            raise ValueError(f"rank {rank} is there already: two threads have taken it")
        board.threads[rank] = thread.number
        world.changed.notify_all()
        made = MemoryLink(world, board, rank, world_size)
        while len(board.threads) < world_size:
            made._see_who_has_failed()
            if time.monotonic() > until or world.n - len(world.ended) < world_size - len(board.threads) + 1:
                absent = sorted(set(range(world_size)) - set(board.threads))
                raise DistBackendError(f"[Rank {rank}]: rank {', '.join(map(str, absent))} has not come to {address}")
            world.changed.wait(min(0.5, max(until - time.monotonic(), 0.01)))
    return made
