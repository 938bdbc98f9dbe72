"""Submodules that packages import by name: versions, sizes that may be symbols, how tensors go to other processes."""

from __future__ import annotations

import importlib
import pickle

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
