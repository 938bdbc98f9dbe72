"""Submodules that packages import by name: versions, sizes that may be symbols, how tensors go to other processes."""

from __future__ import annotations

import argparse
import importlib
import operator
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import flambeau as fb

VERSIONS = "2.1 2.1.0 2.1.1 2.1.0a0 2.1a0+gitabc 2.1rc1 2.1.post1 2.1.dev3 2.1a1.dev2 1.10 1.9.1 2.1.0+cpu 2.1.0+cu121 2.1+1 1!0.1 parrot".split()


def test_versions_are_ordered_as_pytorchs() -> None:
    orders = []
    for lib in (torch, fb):
        kind = importlib.import_module(f"{lib.__name__}.torch_version").TorchVersion
        assert type(lib.__version__) is kind and pickle.loads(pickle.dumps(lib.__version__)) == lib.__version__
        rows = [(kind(a) < b, kind(a) == b, kind(a) >= kind(b), a != kind(b)) for a in VERSIONS for b in VERSIONS]
        pairs = [
            (kind(v) < (2, 1), kind(v) == (2, 1), kind(v) > (2, 0), kind(v) == 3, hash(kind(v)) == hash(v))
            for v in VERSIONS[:-1]
        ]
        with pytest.raises(TypeError, match="not supported between instances of 'TorchVersion' and 'int'"):
            assert kind("2.1") > 3
        orders.append((rows, pairs))
    assert orders[0] == orders[1]
    assert fb.__version__ >= (2, 13) and fb.__version__.split("+")[0] == torch.__version__.split("+")[0]


AT_HAND = (
    "_functorch.apis _functorch.eager_transforms _functorch.functional_call _functorch.vmap distributed.algorithms.join fx.config "
    "masked.maskedtensor.creation multiprocessing.reductions nn.parallel.comm utils.data.graph utils.data.graph_settings"
).split()


def test_parts_that_are_there_without_an_import_of_their_own() -> None:
    assert [operator.attrgetter(name)(torch).__name__ for name in AT_HAND] == [f"torch.{name}" for name in AT_HAND]
    code = f"import operator, flambeau; print(*[operator.attrgetter(n)(flambeau).__name__ for n in {AT_HAND}])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == [f"flambeau.{name}" for name in AT_HAND]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        operator.attrgetter("_functorch.nothing")(fb)


def test_conditions_on_sizes_are_known() -> None:
    given = []
    for lib in (torch, fb):
        shapes = importlib.import_module(f"{lib.__name__}.fx.experimental.symbolic_shapes")
        with pytest.warns(FutureWarning, match="guard_size_oblivious will be removed"):
            asked = shapes.guard_size_oblivious(lib.ones(2).shape[0] == 2)
        given.append(
            [
                asked, shapes.statically_known_true(1 == 2),
                shapes.guard_or_false(3 > 2), shapes.guard_or_true(3 < 2), shapes.sym_eq((1, 2), (1, 2)), shapes.sym_or(False, True),
                shapes.sym_and(True, False), shapes.guard_int(3), shapes.is_concrete_int(2), shapes.is_concrete_bool(True),
                shapes.has_free_symbols(3), shapes.free_symbols(3), shapes.is_nested_int(3), shapes.has_static_value(2),
            ]
        )  # fmt: skip
    assert given[0] == given[1]
    with pytest.raises(NotImplementedError, match="never symbols"):
        fb.fx.experimental.symbolic_shapes.ShapeEnv()


def test_how_tensors_go_to_other_processes() -> None:
    from flambeau.multiprocessing import pool, queue, reductions

    function, args, *_ = reductions.reduce_tensor(fb.arange(3))
    assert function(*args).tolist() == [0, 1, 2]
    assert queue.ForkingPickler is reductions.ForkingPickler and pool.Pool
    x = fb.ones(3)
    ref = reductions.StorageWeakRef(x.untyped_storage())
    assert not ref.expired() and ref == reductions.StorageWeakRef(x.view(-1).untyped_storage())
    assert ref != reductions.StorageWeakRef(x.clone().untyped_storage())
    del x
    assert ref.expired()


def test_other_names_of_files() -> None:
    assert fb.signal.windows.windows.hann is fb.signal.windows.hann
    assert importlib.import_module("flambeau.masked.maskedtensor.creation").masked_tensor is fb.masked.masked_tensor


@pytest.mark.parametrize(
    "name",
    ["cuda.comm", "distributed.checkpoint.planner", "distributed.checkpoint.storage", "distributed.launcher.api", "utils.data.graph"],
)  # fmt: skip
def test_names_of_submodules(name: str) -> None:
    ours, theirs = (importlib.import_module(f"{lib}.{name}") for lib in ("flambeau", "torch"))
    assert [n for n in theirs.__all__ if not hasattr(ours, n)] == []
    for n in ("LaunchConfig", "elastic_launch"):
        if hasattr(ours, n):
            with pytest.raises(NotImplementedError, match=n):
                getattr(ours, n)()


def test_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FOO_BAR": "7", "FLAG": "1", "OFF": "0", "REQ": "z"}.items():
        monkeypatch.setenv(f"PET_{name}", value)
    given = []
    for lib in ("torch", "flambeau"):
        util = importlib.import_module(f"{lib}.distributed.argparse_util")
        parser = argparse.ArgumentParser()
        parser.add_argument("--foo-bar", action=util.env, type=int, default=3)
        parser.add_argument("--req", action=util.env, required=True)
        parser.add_argument("--other", action=util.env, default="q")
        for flag in ("--flag", "--off", "--neither"):
            parser.add_argument(flag, action=util.check_env)
        given.append([parser.parse_args(a) for a in ([], ["--foo-bar", "9", "--neither", "--other", "x"])])
    assert given[0] == given[1]


def test_the_old_launcher_tells_the_local_rank() -> None:
    from flambeau.distributed import launch, run

    for option, told in (("--use_env", []), ("--nnodes=1", ["--local-rank=1"])):  # as torch's tells it
        options = launch.parse_args([option, "--nproc-per-node=2", "train.py", "--x", "1"])
        assert run._Job(options).command(1)[-3 - len(told) :] == ["train.py", *told, "--x", "1"]


def test_the_graph_of_data_pipes() -> None:
    def shape(graph: dict) -> list:
        assert all(key == id(pipe) for key, (pipe, _) in graph.items())
        return [(type(pipe).__name__.removesuffix("IterDataPipe"), shape(below)) for pipe, below in graph.values()]

    given = []
    for lib in ("torch", "flambeau"):
        graph, pipes = (importlib.import_module(f"{lib}.utils.data.{n}") for n in ("graph", "datapipes.iter"))
        numbers = pipes.IterableWrapper([1, 2])
        given.append(shape(graph.traverse_dps(pipes.Zipper(numbers, numbers.map(str).batch(2)))))
        with pytest.raises(RuntimeError, match="Expected `IterDataPipe` or `MapDataPipe`, but <class 'int'> is found"):
            graph.traverse_dps(3)
    assert given[0] == given[1]


def test_a_file_as_a_baton(tmp_path: Path) -> None:
    from flambeau.utils.file_baton import FileBaton

    one, other = (FileBaton(str(tmp_path / "held"), wait_seconds=0.01) for _ in range(2))
    assert one.try_acquire() and not other.try_acquire()
    one.release()
    other.wait()
    assert other.try_acquire()


def test_parts_for_devices() -> None:
    comm = importlib.import_module("flambeau.nn.parallel.comm")
    x, two = fb.arange(5.0), ["cpu", "cpu"]
    assert [p.tolist() for p in comm.scatter(x, two)] == [[0, 1, 2], [3, 4]]
    assert [p.tolist() for p in comm.scatter(x, two, chunk_sizes=[1, 4])] == [[0], [1, 2, 3, 4]]
    assert comm.gather(comm.scatter(x, two)).tolist() == x.tolist()
    assert [p.tolist() for p in comm.broadcast(x, out=[fb.zeros(5)])] == [x.tolist()]
    for lib in (torch, fb):
        comm = importlib.import_module(f"{lib.__name__}.nn.parallel.comm")
        with pytest.raises(
            RuntimeError, match="Exactly one of 'devices' and 'out' must be specified, but got devices=None"
        ):
            comm.broadcast(lib.ones(2))
        with pytest.raises(AssertionError, match="reduce_add expects all inputs to be on GPUs, but input 0 is on CPU"):
            comm.reduce_add([lib.ones(2)])
