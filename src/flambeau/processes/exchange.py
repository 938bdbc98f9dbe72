"""How the ranks of a group come together: everyone says what it is about to do, and goes on when all have said the same."""

from __future__ import annotations

import collections
import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import ml_dtypes  # noqa: F401  (NumPy learns of bfloat16 and its like by it)
import numpy as np

from .errors import DistBackendError
from .link import Link
from .patterns import ALL_TO_ALL, BROADCAST, SCATTER, Pattern, program

_BLOCK = 32  # announcements that are removed at once
_ROOTED = (BROADCAST, SCATTER)
_PROGRAM = "a compiled program"  # of all ranks: an offer, which others may decline by what they say
Said = dict[str, Any]


class Absent(DistBackendError):
    """Ranks that have not come within the time."""

    def __init__(self, text: str, ranks: list[int]):
        super().__init__(text)
        self.ranks = ranks


class Elsewhere(Absent):
    """Ranks that are about to do something else."""


class Pending:
    """Something that a thread of the group's does, or has done."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def do(self, job: Callable[[], Any]) -> Pending:
        """Do it now, and keep what comes of it."""
        try:
            self.value = job()
        except BaseException as error:
            self.error = error
        self._ended.set()
        return self

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended within so many seconds."""
        return self._ended.wait(timeout)


class Sent(NamedTuple):
    """A collective that is run: its name, how many bytes come or go, and PyTorch's operator for it ("" in a compiled program)."""

    name: str
    size: int
    operator: str = ""


watchers: list[Callable[[Sent], None]] = []  # told of each collective

# PyTorch's operators for the patterns, where a call does not name its own
_OPERATORS = {
    "all_reduce": "c10d::allreduce_",
    "all_gather": "c10d::_allgather_base_",
    "reduce_scatter": "c10d::_reduce_scatter_base_",
    "broadcast": "c10d::broadcast_",
    "scatter": "c10d::scatter_",
    "all_to_all": "c10d::alltoall_base_",
}


class Exchange:
    """The meetings of one group, in the order in which they were begun. `rank` and `ranks` are numbers of the link."""

    def __init__(self, link: Link | None, name: str, ranks: tuple[int, ...], rank: int, timeout: float):
        self.link = link
        self.name = name
        self.ranks = ranks
        self.timeout = timeout
        self.rank = rank
        self.me: int = ranks.index(rank)
        self.n: int = len(ranks)
        self.counts: collections.Counter[Any] = collections.Counter()  # messages to and from each rank
        self._count = 0
        self._jobs: queue.SimpleQueue[Any] | None = None
        self._runs: queue.SimpleQueue[Any] | None = None
        self._last: Pending | None = None

    def begin(self, job: Callable[[], Any], wait: bool) -> Pending:
        """Do a job after those that were begun before: at once if there are none and it is waited for."""
        busy = self._last is not None and not self._last.done()
        if wait and not busy:
            return Pending().do(job)
        if self._jobs is None:
            self._jobs = self._thread("")
        made = self._last = Pending()
        self._jobs.put((made, job))
        if wait:
            made.wait()
        return made

    def in_time(self, run: Callable[[], Any], what: str, timeout: float | None = None) -> Any:
        """What a program of all ranks gives. DistBackendError after the group's time: XLA waits for a rank that stands still."""
        if self._runs is None:
            self._runs = self._thread(", programs")
        limit, made = self.timeout if timeout is None else timeout, Pending()
        self._runs.put((made, run))
        if not made.wait(limit):
            raise DistBackendError(
                f"[Rank {self.rank}]: {what} did not end within {_time(limit)}: all ranks have begun it, and one of them stands still or "
                "can't be reached. The group can't be used any more."
            )
        if isinstance(made.error, jax.errors.JaxRuntimeError):
            raise DistBackendError(f"[Rank {self.rank}]: {what} failed: {made.error}") from made.error
        if made.error is not None:
            raise made.error
        return made.value

    def _thread(self, name: str) -> queue.SimpleQueue[Any]:
        jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), daemon=True, name=f"group {self.name}{name}").start()
        return jobs

    def close(self) -> None:
        """Let the group's threads end after what was begun."""
        for jobs in (self._jobs, self._runs):
            if jobs is not None:
                jobs.put(None)
        self._jobs = self._runs = None

    def together(
        self, pattern: Pattern, value: np.ndarray | None, said: Said, option: Any = None, timeout: float | None = None,
        operator: str = "",
    ) -> np.ndarray:  # fmt: skip
        """What the pattern gives this rank. `said` is what all must agree on: DistBackendError if they do not, or do not come.
        `operator` is what watchers are told, PyTorch's."""
        got = self._together(pattern, value, said, option, timeout)
        if watchers and self.n > 1 and value is not None:
            for watch in watchers:
                watch(Sent(pattern.name, max(got.nbytes, value.nbytes), operator or _OPERATORS[pattern.name]))
        return got

    def _together(
        self, pattern: Pattern, value: np.ndarray | None, said: Said, option: Any, timeout: float | None
    ) -> np.ndarray:
        holds = value is not None and (pattern not in _ROOTED or option == self.me)
        small = value is None or self.link is None or value.nbytes <= self.link.inline
        inline = value if holds and small else None
        met = self.meet({"what": pattern.name, **said}, inline, timeout, small=not holds or small)
        if self.n == 1:
            return np.asarray(pattern.local([value], self.me, option))
        if all(told["small"] for told, _ in met):
            return np.asarray(pattern.local([array for _, array in met], self.me, option))
        if pattern is SCATTER and not holds:
            value = np.zeros((self.n, *said["shape"]), np.dtype(said["dtype"]))
        assert self.link is not None and value is not None
        devices = self.link.devices()
        run = program(pattern, tuple(devices[r] for r in self.ranks), option)
        return self.in_time(lambda: run(value, self.me), _shown(met[self.me][0]), timeout)

    def all_to_all(
        self, value: np.ndarray, gives: list[int], takes: list[int], said: Said, operator: str = ""
    ) -> np.ndarray:
        """Of a flat array, `gives[i]` elements to rank i; from it `takes[i]`."""
        met = self.meet({"what": "all_to_all sizes", **said}, np.array([gives, takes], np.int64), None)
        table = np.stack([array for _, array in met])
        for a, b in np.argwhere(table[:, 0] != table[:, 1].T):
            raise DistBackendError(
                f"[Rank {self.rank}]: all_to_all: rank {self.ranks[a]} sends {table[a, 0, b]} elements to rank {self.ranks[b]}, "
                f"which takes {table[b, 1, a]}"
            )
        row = int(table.max())
        ends = np.cumsum(gives)
        rows = np.zeros((self.n, row), value.dtype)
        for i, (end, size) in enumerate(zip(ends, gives, strict=True)):
            rows[i, :size] = value[end - size : end]
        got = self.together(ALL_TO_ALL, rows, {**said, "shape": [self.n, row]}, operator=operator)
        return np.concatenate([got[i, :size] for i, size in enumerate(takes)])

    def meet(
        self, said: Said, value: np.ndarray | None, timeout: float | None, small: bool = True
    ) -> list[tuple[Said, Any]]:
        """What everybody has said, with the values that came along. DistBackendError after the time, or if it differs."""
        while True:
            found = self._meet(said, value, timeout, small)
            # who has offered a program of all ranks sees that we run none, and goes on collective by collective
            if not any(told["what"] == _PROGRAM for told, _ in found):
                self._agree(found)
                return found

    def offer(self, name: str, digest: bytes, ready: bool) -> tuple[bool, bool]:
        """Whether all ranks offer to run the same program now, and whether all of them have compiled it."""
        value = np.frombuffer(digest + bytes([ready]), np.uint8)
        found = self._meet({"what": _PROGRAM, "of": name}, value, None)
        if not all(told["what"] == _PROGRAM for told, _ in found):
            return False, False
        return all(bytes(v[:-1]) == digest for _, v in found), all(v[-1] for _, v in found)

    def decline(self, error: BaseException) -> None:
        """Tell the others, who are about to meet, that this rank does not come."""
        self._count += 1
        if self.link is not None:
            why = {"gone": f"has raised {type(error).__name__}: {error}"}
            self.link.put(self._key(self._count, self.me), self.link.pack(why, None), overwrite=True)

    def _meet(
        self, said: Said, value: np.ndarray | None, timeout: float | None, small: bool = True
    ) -> list[tuple[Said, Any]]:
        self._count += 1
        told = {**said, "small": small}
        if self.link is None:
            return [(told, value)]
        number, limit = self._count, self.timeout if timeout is None else timeout
        self.link.put(self._key(number, self.me), self.link.pack(told, value), overwrite=True)
        until = time.monotonic() + limit
        found: list[tuple[Said, Any]] = []
        for i in range(self.n):
            if i == self.me:
                found.append((told, value))
                continue
            raw = self.link.get(self._key(number, i), until, self.ranks[i])
            if raw is None:
                self._give_up(number, told, limit)
            found.append(self.link.unpack(raw))
        self._look_who_is_gone(found)
        if number % _BLOCK == 0 and number >= 2 * _BLOCK:
            self.link.forget(f"{self.name}/{number // _BLOCK - 2}/{self.me}")
        return found

    def _key(self, number: int, member: int) -> str:
        return f"{self.name}/{number // _BLOCK}/{member}/{number}"

    def _give_up(self, number: int, told: Said, limit: float) -> NoReturn:
        assert self.link is not None
        absent = [i for i in range(self.n) if i != self.me and self.link.find(self._key(number, i)) is None]
        self.link.put(
            self._key(number, self.me),
            self.link.pack({"gone": f"waited {_time(limit)} for rank {_listed(self, absent)}"}, None),
            True,
        )
        raise Absent(
            f"[Rank {self.rank}]: Timed out waiting {_time(limit)} for rank {_listed(self, absent)} in {_shown(told)}, number {number} in "
            f"group {self.name!r}. Every rank of a group has to call the same collectives in the same order.",
            [self.ranks[i] for i in absent],
        )

    def _look_who_is_gone(self, met: list[tuple[Said, Any]]) -> None:
        for i, (told, _) in enumerate(met):
            if "gone" in told:
                raise DistBackendError(
                    f"[Rank {self.rank}]: rank {self.ranks[i]} has given up before: it {told['gone']}"
                )

    def _agree(self, met: list[tuple[Said, Any]]) -> None:
        mine = _key_of(met[self.me][0])
        others = [i for i, (told, _) in enumerate(met) if _key_of(told) != mine]
        if others:
            # PyTorch's text with TORCH_DISTRIBUTED_DEBUG=DETAIL
            start, first = "Detected mismatch between collectives on ranks.", others[0]
            raise Elsewhere(
                f"[Rank {self.rank}]: {start} Rank {self.rank} is running collective: {_shown(met[self.me][0])}, but Rank "
                f"{self.ranks[first]} is running collective: {_shown(met[first][0])}.",
                [self.ranks[i] for i in others],
            )


def _work(jobs: queue.SimpleQueue[Any]) -> None:
    while (entry := jobs.get()) is not None:
        made, job = entry
        made.do(job)


def _key_of(told: Said) -> Any:
    return json.dumps({k: v for k, v in told.items() if k != "small"}, sort_keys=True)


def _shown(told: Said) -> str:
    inner = ", ".join(f"{k}={v}" for k, v in told.items() if k not in ("what", "small"))
    return f"{told.get('what')}({inner})"


def _listed(exchange: Exchange, members: list[int]) -> str:
    return ", ".join(str(exchange.ranks[i]) for i in members) or "?"


def _time(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"


def post(link: Link, key: str, told: Said, value: np.ndarray) -> None:
    """Leave an array for one other rank."""
    link.put(key, link.pack(told, value))


def fetch(link: Link, key: str, until: float, source: int) -> tuple[Said, Any] | None:
    """Take the array that rank `source` has left, or None if it has not come until then."""
    raw = link.get(key, until, source)
    if raw is None:
        return None
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        link.forget(key)
    return link.unpack(raw)
