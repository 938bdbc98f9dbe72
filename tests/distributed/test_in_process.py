"""Ranks that are threads of one process: `parallel.in_process`, and `flambeau launch --devices-in-process`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import distributed as dist
from flambeau import nn
from flambeau.core.context import warned
from flambeau.distributed import launch
from flambeau.parallel import in_process
from flambeau.processes.patterns import ALL_REDUCE

HERE = Path(__file__).parent


def joined(function: Callable[[int], Any], timeout: float = 60) -> Callable[[int], Any]:
    def run(rank: int) -> Any:
        dist.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        found = function(rank)
        dist.destroy_process_group()
        return found

    return run


@pytest.mark.parametrize("n", [3, 100_000])
def test_collectives(n: int) -> None:
    def work(rank: int) -> Any:
        summed, gathered = fb.full((n,), rank + 1.0), [fb.empty(n) for _ in range(4)]
        dist.all_reduce(summed)
        dist.all_gather(gathered, fb.full((n,), float(rank)))
        sent = summed + rank
        dist.broadcast(sent, 2)
        handle = dist.isend(fb.full((n,), float(rank)), (rank + 1) % 4)
        received = fb.empty(n)
        dist.recv(received, (rank - 1) % 4)
        assert handle is not None
        handle.wait()
        sent.mul_(rank)  # a rank's own memory
        dist.barrier()
        return [t[0].item() for t in (summed, *gathered, sent, received)] + [t[-1].item() for t in (summed, received)]

    for rank, found in enumerate(in_process(joined(work), devices=4)):
        before = float((rank - 1) % 4)
        assert found == [10.0, 0.0, 1.0, 2.0, 3.0, 12.0 * rank, before, 10.0, before]


def test_a_number_of_no_dimensions() -> None:
    def work(rank: int) -> float:
        x = fb.tensor(rank + 1.0, dtype=fb.float64)
        dist.all_reduce(x, dist.ReduceOp.AVG)
        return x.item()

    assert in_process(joined(work), devices=2) == [1.5, 1.5]


def test_reductions_of_numbers_are_arrays() -> None:
    """NumPy's are scalars, which can't be put on one of several devices of a CPU."""

    def work(rank: int) -> Any:
        group: Any = dist.group.WORLD
        return group.exchange.together(ALL_REDUCE, np.array(rank + 1.0), {"op": "SUM"}, "SUM")

    for found in in_process(joined(work), devices=2):
        assert type(found) is np.ndarray and found.item() == 3.0


def test_averaged_gradients_equal_those_of_the_whole_batch() -> None:
    x = fb.from_numpy(np.random.default_rng(0).standard_normal((12, 6)))

    def model() -> nn.Module:
        fb.manual_seed(
            0
        )  # a bias before BatchNorm has a gradient of rounding errors alone, which Adam would make steps of
        return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).double()

    def train(made: nn.Module, part: fb.Tensor) -> list[float]:
        optimizer = fb.optim.Adam(made.parameters(), lr=0.01)
        for _ in range(4):
            optimizer.zero_grad()
            made(part).square().mean().backward()
            optimizer.step()
        return fb.cat([p.detach().flatten() for p in made.parameters()]).tolist()

    def work(rank: int) -> list[float]:
        made = nn.SyncBatchNorm.convert_sync_batchnorm(model())
        return train(nn.parallel.DistributedDataParallel(made), x[rank * 4 : rank * 4 + 4])

    whole = train(model(), x)
    found = in_process(joined(work), devices=3)
    assert found[0] == found[1] == found[2]
    np.testing.assert_allclose(found[0], whole, rtol=1e-9, atol=1e-11)


def test_each_rank_has_its_own() -> None:
    fb.manual_seed(3)
    state, own = fb.get_rng_state(), threading.Barrier(3)

    def work(rank: int) -> Any:
        os.environ["RANK"] += "!"
        fb.manual_seed(rank)
        first = fb.rand(1).item()
        own.wait()
        second = fb.rand(1).item()
        fb.set_default_device("meta" if rank else "cpu")
        own.wait()
        seen = dict(os.environ)
        return (
            first, second, str(fb.get_default_device()), fb.zeros(1).is_meta, seen["RANK"], os.environ.get("WORLD_SIZE"), seen["LOCAL_RANK"],
            len(seen) == len(os.environ), fb.default_generator.initial_seed(),
        )  # fmt: skip

    found = in_process(work, devices=3)
    for rank, (*numbers, where, meta, name, size, local, whole, seed) in enumerate(found):
        generator = fb.Generator().manual_seed(rank)
        assert numbers == [fb.rand(1, generator=generator).item() for _ in range(2)]
        assert (where, meta) == (("meta", True) if rank else ("cpu", False))
        assert (name, size, local, whole, seed) == (f"{rank}!", "3", str(rank), True, rank)
    assert fb.equal(state, fb.get_rng_state())
    assert str(fb.get_default_device()) == "cpu"
    assert type(os.environ).__module__ == "os" and "!" not in os.environ.get("RANK", "")
    assert not dist.is_initialized()


def test_what_is_no_launchers_variable_is_the_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_ALL", "before")

    def work(rank: int) -> None:
        if rank == 0:
            os.environ["OF_ALL"] = "after"

    in_process(work, devices=2)
    shown = subprocess.run(["sh", "-c", "echo $OF_ALL"], stdout=subprocess.PIPE, text=True, check=True)
    assert os.environ["OF_ALL"] == "after" and shown.stdout == "after\n"


def test_groups_are_counted_for_each_rank() -> None:
    def work(rank: int) -> Any:
        group = dist.new_group([0, 2])
        x = fb.ones(1) * rank
        if rank != 1:
            dist.all_reduce(x, group=group)
        again = dist.new_group([1, 2])
        return x.item(), dist.get_rank(group), dist.get_rank(again)

    assert in_process(joined(work), devices=3) == [(2.0, 0, -1), (1.0, -1, 0), (2.0, 1, 1)]
    assert in_process(joined(work), devices=3) == [(2.0, 0, -1), (1.0, -1, 0), (2.0, 1, 1)]


def test_a_group_may_be_made_anew() -> None:
    def work(rank: int) -> float:
        dist.destroy_process_group()
        dist.init_process_group("gloo", init_method="tcp://127.0.0.1:1", rank=1 - rank, world_size=2)
        x = fb.ones(1) * dist.get_rank()
        dist.broadcast(x, 1)
        return x.item() + 10 * dist.get_rank()

    assert in_process(joined(work), devices=2) == [11.0, 1.0]


def test_objects_are_copies() -> None:
    mine = [{"a": [1]}, {"b": [2]}]

    def work(rank: int) -> Any:
        every: list[Any] = [None, None]
        dist.all_gather_object(every, mine[rank])
        return every

    found = in_process(joined(work), devices=2)
    assert found == [mine, mine]
    assert found[0][0] is not mine[0] and found[0][0]["a"] is not found[1][0]["a"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda rank: dist.all_reduce(fb.zeros(3 if rank else 4)), "Detected mismatch between collectives on ranks."),
        (
            lambda rank: dist.barrier() if rank else dist.all_reduce(fb.zeros(1)),
            "Detected mismatch between collectives",
        ),
        (lambda rank: dist.barrier() if rank != 2 else None, "rank 2 has left the group or ended, and does not come"),
        (lambda rank: dist.recv(fb.zeros(1), 2) if rank != 2 else None, "rank 2 has left the group or ended"),
    ],
)
def test_a_wrong_or_missing_call_is_an_error_on_all_ranks(wrong: Callable[[int], Any], text: str) -> None:
    seen: dict[int, str] = {}

    def work(rank: int) -> None:
        try:
            wrong(rank)
        except dist.DistBackendError as error:
            seen[rank] = str(error)
            raise

    started = time.monotonic()
    with pytest.raises(dist.DistBackendError, match=text) as raised:
        in_process(joined(work), devices=3)
    assert "of 3, a thread of this process" in raised.value.__notes__[0]
    assert set(seen) >= {0, 1} and time.monotonic() - started < 20
    assert threading.active_count() < 20


def test_a_rank_that_stands_still() -> None:
    leave = threading.Event()

    def work(rank: int) -> None:
        if rank == 1:
            leave.wait(30)
            return
        try:
            dist.barrier()
        finally:
            leave.set()

    with pytest.raises(dist.DistBackendError, match="Timed out waiting 200ms for rank 1 in barrier"):
        in_process(joined(work, timeout=0.2), devices=2)


def test_what_one_rank_raises_ends_the_others() -> None:
    ended: list[str] = []

    def work(rank: int) -> None:
        if rank == 1:
            raise ValueError("of rank one")
        try:
            dist.barrier()
        except dist.DistBackendError as error:
            ended.append(str(error))
            raise

    with pytest.raises(ValueError, match="of rank one") as raised:
        in_process(joined(work), devices=3)
    assert raised.value.__notes__ == ["(raised by rank 1 of 3, a thread of this process)"]
    assert len(ended) == 2 and all("rank 1 has ended with ValueError: of rank one" in text for text in ended)


def test_nothing_is_left_behind() -> None:
    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        handle = dist.all_reduce(fb.ones(3), async_op=True)
        assert handle is not None
        handle.wait()
        if rank:
            raise ValueError("before the end")

    with pytest.raises(ValueError, match="before the end"):
        in_process(work, devices=3)
    until = time.monotonic() + 10
    while left := [t.name for t in threading.enumerate() if t.name.startswith(("rank ", "group 0"))]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_compiled_functions_run_uncompiled_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warned, "_given", set())

    def work(rank: int) -> list[float]:
        @fb.compile
        def doubled(x: fb.Tensor) -> fb.Tensor:
            dist.all_reduce(y := x * 2)
            return y

        doubled(fb.ones(2))
        return doubled(fb.ones(2) * rank).tolist()

    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert in_process(joined(work), devices=3) == [[6.0, 6.0]] * 3
    texts = [str(w.message) for w in given if "ranks that are threads" in str(w.message)]
    assert len(texts) == 1 and "run compiled functions uncompiled" in texts[0]


def test_what_is_refused() -> None:
    def cut(rank: int) -> None:
        mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
        dist.tensor.distribute_tensor(fb.ones(4), mesh, [dist.tensor.Shard(0)])

    with pytest.raises(NotImplementedError, match=r"DTensor, fully_shard.* are not there where the ranks are threads"):
        in_process(joined(cut), devices=2)
    with pytest.raises(RuntimeError, match="ranks that are threads run in this process already"):
        in_process(lambda rank: in_process(lambda inner: None, devices=1), devices=1)
    with pytest.raises(ValueError, match="this process has 2 ranks that are its threads"):
        in_process(lambda rank: dist.init_process_group("gloo", rank=rank, world_size=4), devices=2)
    with pytest.raises(ValueError, match="devices=0: there"):
        in_process(lambda rank: None, devices=0)
    with pytest.raises(SystemExit, match="3"):
        in_process(lambda rank: sys.exit(3 if rank else 0), devices=2)
    assert in_process(lambda rank, *given: (rank, given), 1, 2, devices=2) == [(0, (1, 2)), (1, (1, 2))]


SCRIPT = """
import json, os, sys
import torch
import torch.distributed as dist

class Told:
    pass

dist.init_process_group("gloo")
rank = dist.get_rank()
told, every = Told(), [None] * dist.get_world_size()
told.rank = rank
dist.all_gather_object(every, told)
x = torch.full((4,), rank + 1.0)
dist.all_reduce(x)
print(__name__, sys.argv[1:], rank, [t.rank for t in every], isinstance(every[0], Told), x.tolist(), __file__.endswith("script.py"))
dist.destroy_process_group()
if "fail" in sys.argv and rank == 1:
    raise KeyError("of rank one")
"""


def launched(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flambeau", "launch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_script_runs_in_the_ranks(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = launched(tmp_path, "--devices-in-process", "3", "script.py", "fail")
    lines = sorted(ended.stdout.splitlines())
    assert lines == [f"__main__ ['fail'] {r} [0, 1, 2] True [6.0, 6.0, 6.0, 6.0] True" for r in range(3)], ended.stderr
    shown = ended.stderr.splitlines()
    assert ended.returncode == 1 and "KeyError: 'of rank one'" in shown, ended.stderr
    assert shown[1].startswith('  File "script.py", line'), shown  # nothing but the script's own frames
    assert "(raised by rank 1 of 3, a thread of this process)" in shown


def test_options_that_do_not_go_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = launched(tmp_path, "--devices-in-process", "2", "--nproc-per-node", "2", "script.py")
    assert ended.returncode == 2 and "--devices-in-process N is for one process" in ended.stderr
    with pytest.raises(SystemExit, match="2"), pytest.warns(FutureWarning, match="Use torchrun"):
        launch.main(["--devices-in-process", "2", "script.py"])
    assert "it needs --use-env" in capsys.readouterr().err


@pytest.mark.slow
def test_what_processes_check_holds_for_threads(tmp_path: Path) -> None:
    """The checks of several processes, but for those that ask for one program of all ranks."""
    names = """reductions moves uneven_exchange messages objects groups handles disagreement one_process_and_many
        one_process_and_many_by_all_options averaged_gradients buffers_of_averaged_models gradients_of_collectives
        in_a_compiled_function compiled_forward_passes meshes""".split()
    ended = launched(tmp_path, "--devices-in-process", "2", str(HERE / "rank_program.py"), str(tmp_path), *names)
    assert ended.returncode == 0, ended.stderr[-3000:]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert list(found) == names and not any(found.values()), [text[-1500:] for text in found.values() if text]


CELLS = [
    """
%load_ext flambeau
import torch, torch.distributed as dist, time
from flambeau.parallel import in_process
def work(rank):
    dist.init_process_group()
    x = torch.full((2,), float(rank))
    dist.all_reduce(x)
    return x.tolist()
print(in_process(work, devices=3))
""",
    """
def stuck(rank):
    dist.init_process_group()
    if rank == 0:
        for _ in range(3000): time.sleep(0.1)
    dist.barrier()
in_process(stuck, devices=2)
""",
    "print(in_process(work, devices=2))",
]


@pytest.mark.slow
def test_ranks_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions of cells are ranks, and a cell that is interrupted leaves a kernel in which others run."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(Path(fb.__file__).parents[1]))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = nbclient.NotebookClient(
        book, timeout=100, allow_errors=True, kernel_name="python3", interrupt_on_timeout=True
    )
    said = []
    with client.setup_kernel():
        for i, cell in enumerate(book.cells):
            client.timeout = 4 if i == 1 else 100
            client.execute_cell(cell, i)
            said.append("".join(o.get("text", "") or o.get("ename", "") for o in cell.outputs))
    assert said == [f"{[[3.0, 3.0]] * 3}\n", "KeyboardInterrupt", f"{[[1.0, 1.0]] * 2}\n"]
