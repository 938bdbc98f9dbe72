"""Worker processes that die, are late, can't be given the data, or are left alone. What they load: tests/programs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

import flambeau as fb
from flambeau.utils.data import DataLoader, IterableDataset, get_worker_info
from support.process import SOURCE

pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")


def wait_until_alone() -> None:
    deadline = time.monotonic() + 10
    while (left := [p for p in multiprocessing.active_children() if p.name.startswith("DataLoader")]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    assert not left


class Numbers:
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        return i


def test_a_killed_worker_is_named() -> None:
    class Killed(Numbers):
        def __getitem__(self, i: int) -> Any:
            if i == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return i

    with pytest.raises(
        RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly \(it was killed by signal SIGKILL"
    ):
        list(DataLoader(Killed(), num_workers=2))
    wait_until_alone()


def test_one_that_is_late() -> None:
    class Stuck(Numbers):
        def __getitem__(self, i: int) -> Any:
            time.sleep(20)

    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.5 seconds"):
        next(iter(DataLoader(Stuck(), num_workers=1, timeout=0.5)))
    gc.collect()
    children: Any = multiprocessing.process._children  # type: ignore[attr-defined]
    left = [p for p in children if p.name.startswith("DataLoader")]
    assert not left  # else a fork of this process would wait for them
    wait_until_alone()


def test_an_early_end_leaves_no_process() -> None:
    for batch in DataLoader(range(1000), num_workers=2, prefetch_factor=4):
        assert batch.tolist() == [0]
        break
    gc.collect()
    wait_until_alone()


def test_the_traceback_of_a_worker_is_shown() -> None:
    class Failing(Numbers):
        def __getitem__(self, i: int) -> Any:
            return 1 // (i - 3)

    with pytest.raises(ZeroDivisionError, match="Caught ZeroDivisionError in DataLoader worker process 1") as caught:
        list(DataLoader(Failing(), num_workers=2))
    assert "return 1 // (i - 3)" in str(caught.value) and "Original Traceback" in str(caught.value)


def test_what_cannot_be_sent_is_told() -> None:
    class Open(Numbers):
        def __init__(self) -> None:
            self.lock = __import__("threading").Lock()

    with pytest.raises(TypeError, match=r"cannot pickle '_thread.lock' object.*open them in the worker"):
        iter(DataLoader(Open(), num_workers=1))
    assert len(list(DataLoader(Open(), num_workers=1, multiprocessing_context="fork"))) == 8


def test_a_fork_of_a_process_that_has_computed_reads_and_says_what_it_can_not() -> None:
    fb.ones(2).sum()
    held = fb.arange(8.0)

    class Reads(Numbers):
        def __getitem__(self, i: int) -> Any:
            return held.numpy()[i]

    class Computes(Numbers):
        def __getitem__(self, i: int) -> Any:
            return held[i] * 2

    options: Any = {"num_workers": 1, "multiprocessing_context": "fork", "batch_size": None}
    assert [float(x) for x in DataLoader(Reads(), **options)] == list(range(8))
    with pytest.raises(RuntimeError, match="Cannot re-initialize XLA in forked subprocess"):
        list(DataLoader(Computes(), **options))
    assert [float(x) for x in DataLoader(Computes(), num_workers=1, batch_size=None)] == [2.0 * i for i in range(8)]


@pytest.mark.parametrize("persistent", [False, True])
def test_a_process_forked_in_the_middle_leaves_the_workers_alone(persistent: bool) -> None:
    """It may drop the iterator and end as it likes, and make one of its own; the one that it has inherited says whose it is."""
    script = f"""
import gc, os, sys
from flambeau.utils.data import DataLoader
if __name__ == "__main__":
    loader = DataLoader(range(6), 2, num_workers=2, persistent_workers={persistent})
    batches = iter(loader)
    print(next(batches).tolist(), flush=True)
    if not (pid := os.fork()):
        try:
            next(batches)
        except RuntimeError as error:
            print("forked" in str(error), flush=True)
        if {persistent}:
            print([b.tolist() for b in loader], flush=True)
        else:
            del batches
            gc.collect()
        sys.exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), [b.tolist() for b in batches])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": SOURCE, "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    own = ["[[0, 1], [2, 3], [4, 5]]"] * persistent
    assert done.stdout.splitlines() == ["[0, 1]", "True", *own, "3 [[2, 3], [4, 5]]"], done.stderr
    assert "Error" not in done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_every_way_to_start(method: str) -> None:
    given = [batch.tolist() for batch in DataLoader(Numbers(), 3, num_workers=2, multiprocessing_context=method)]
    assert given == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_as_they_come() -> None:
    class Uneven(IterableDataset):
        def __iter__(self) -> Any:
            worker = get_worker_info().id
            for i in range(4):
                time.sleep(0.3 * (worker == 0))
                yield 10 * worker + i

    given = [int(x) for x in DataLoader(Uneven(), num_workers=2, batch_size=None, in_order=False)]
    assert sorted(given) == [0, 1, 2, 3, 10, 11, 12, 13] and given.index(13) < given.index(3)


def test_too_many_and_unpinned() -> None:
    with pytest.warns(UserWarning, match="This DataLoader will create 999 worker processes in total"):
        DataLoader(Numbers(), num_workers=999)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        assert len(list(DataLoader(Numbers(), pin_memory=True))) == 8
