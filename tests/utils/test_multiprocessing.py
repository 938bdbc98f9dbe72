"""`torch.multiprocessing`: processes that report their errors; and the sampler that shares data among processes."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb
from support.process import run

PROGRAM = """
import os, signal
import flambeau as torch
import flambeau.multiprocessing as mp

def check(i, x): assert x.sum() == 3 and (x * 2)[0] == 2
def fail(i):
    if i == 1: raise ValueError("bad")
def killed(i): os.kill(os.getpid(), signal.SIGKILL)
def ended(i): os._exit(3)
def fill(q, i): q.put((i, torch.ones(3) * i))
def told(run):
    try: print(run())
    except Exception as error: print(type(error).__name__, str(error).strip().splitlines()[0], error.error_index)

if __name__ == "__main__":
    (torch.ones(2) + 1).sum()
    told(lambda: mp.spawn(check, args=(torch.ones(3),), nprocs=2))
    told(lambda: mp.spawn(fail, nprocs=2))
    told(lambda: mp.spawn(killed, nprocs=1))
    told(lambda: mp.spawn(ended, nprocs=1))
    context = mp.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=fill, args=(queue, i)) for i in range(2)]
    [p.start() for p in processes]
    print(sorted((i, t.tolist()) for i, t in (queue.get(), queue.get())))
    [p.join() for p in processes]
"""


def test_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    assert run(script).stdout.splitlines() == [
        "None",
        "ProcessRaisedException -- Process 1 terminated with the following error: 1",
        "ProcessExitedException process 0 terminated with signal SIGKILL 0",
        "ProcessExitedException process 0 terminated with exit code 3 0",
        "[(0, [0.0, 0.0, 0.0]), (1, [1.0, 1.0, 1.0])]",
    ]


def test_names() -> None:
    assert set(torch.multiprocessing.__all__) <= set(dir(fb.multiprocessing))
    assert fb.multiprocessing.get_sharing_strategy() in fb.multiprocessing.get_all_sharing_strategies()
    with pytest.raises(AssertionError, match="invalid sharing strategy 'x'"):
        fb.multiprocessing.set_sharing_strategy("x")


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("size", "replicas"), [(10, 3), (9, 3), (2, 4), (1, 5), (100, 7)])
def test_each_process_gets_its_part(size: int, replicas: int, shuffle: bool, drop_last: bool) -> None:
    def parts(lib: Any) -> list[Any]:
        found = []
        for rank in range(replicas):
            sampler = lib.utils.data.DistributedSampler(range(size), replicas, rank, shuffle, 3, drop_last)
            for epoch in range(2):
                sampler.set_epoch(epoch)
                found.append((list(sampler), len(sampler)))
        return found

    assert parts(fb) == parts(torch)


def test_a_rank_that_is_not_there() -> None:
    for lib in (fb, torch):
        with pytest.raises(ValueError, match=r"Invalid rank 5, rank should be in the interval \[0, 1\]"):
            lib.utils.data.DistributedSampler(range(3), 2, 5)
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            lib.utils.data.DistributedSampler(range(3))


def test_what_ended_a_process_is_told_by_the_error() -> None:
    def told(error: Any) -> dict[str, Any]:
        return {
            n: getattr(error, n)
            for n in ("msg", "error_index", "error_pid", "exit_code", "signal_name")
            if hasattr(error, n)
        }

    for lib in (fb, torch):
        mp = lib.multiprocessing
        raised = pickle.loads(pickle.dumps(mp.ProcessRaisedException("a", 1, 2)))
        assert told(raised) == {"msg": "a", "error_index": 1, "error_pid": 2}
        ended = pickle.loads(pickle.dumps(mp.ProcessExitedException("a", 1, 2, 3, "S")))
        assert told(ended) == {"msg": "a", "error_index": 1, "error_pid": 2, "exit_code": 3, "signal_name": "S"}


def test_a_result_with_a_history_goes_to_no_other_process() -> None:
    for lib in (fb, torch):
        w = lib.ones(2, requires_grad=True)
        for sent in (w * 2, [w * 2]):
            with pytest.raises(
                RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"
            ):
                ForkingPickler.dumps(sent)
    with fb.no_grad():
        left = ForkingPickler.dumps([w := fb.ones(2, requires_grad=True), (w * 2).detach(), fb.nn.Parameter(w)])
    again = pickle.loads(left)
    assert [type(t) for t in again] == [fb.Tensor, fb.Tensor, fb.nn.Parameter]
    assert [t.requires_grad for t in again] == [True, False, True]
