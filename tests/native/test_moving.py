"""Rows by their numbers: by the native kernel and by XLA, with derivatives, and as embedding and index_select have them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.native import available, moving


@pytest.mark.skipif(not available(), reason="no compiled kernels")
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32"])
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_both_forms_give_the_same_rows(dtype: str, kind: Any) -> None:
    draw = np.random.default_rng(0)
    x = jnp.asarray(draw.standard_normal((50, 4, 16)) * 100).astype(dtype)
    index = jnp.asarray(draw.integers(-3, 53, (40, 9)), kind)  # those that are not there are the nearest ones
    program = jax.jit(moving.rows_at)
    assert (
        "flambeau_rows" in program.lower(x, index).as_text()
    )  # bfloat16, too, on processors that can't compute with it
    np.testing.assert_array_equal(
        np.asarray(program(x, index), np.float64), np.asarray(moving._xla(x, index), np.float64)
    )


def test_derivatives_are_those_of_xla() -> None:
    x = jnp.asarray(np.random.default_rng(1).standard_normal((20, 64)))
    index = jnp.asarray(np.arange(200) * 7 % 20)
    for transform in (jax.grad, lambda f: jax.grad(lambda x: (jax.grad(f)(x) ** 2).sum())):
        ours, theirs = (transform(lambda x, f=f: (f(x, index) ** 3).sum())(x) for f in (moving.rows_at, moving._xla))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    moved = jax.jvp(lambda x: moving.rows_at(x, index), (x,), (2 * x,))[1]
    np.testing.assert_array_equal(moved, 2 * moving._xla(x, index))
    several = jnp.stack([x, -x])
    np.testing.assert_array_equal(jax.vmap(moving.rows_at, (0, None))(several, index)[1], -moving._xla(x, index))


def test_large_lookups_are_torchs() -> None:
    draw = np.random.default_rng(2)
    table, ids = draw.standard_normal((100, 64)).astype(np.float32), draw.integers(0, 100, (16, 20))
    results = []
    for lib in (fb, torch):
        weight, index = lib.tensor(table, requires_grad=True), lib.tensor(ids)
        made = lib.nn.functional.embedding(index, weight, 7) * 2
        made = made.sum(1) @ weight.index_select(0, index.reshape(-1)).T
        (slope,) = lib.autograd.grad((made**2).mean(), weight, create_graph=True)
        (second,) = lib.autograd.grad((slope**2).sum(), weight)
        results.append([t.detach().numpy() for t in (made, slope, second)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3 * np.abs(theirs).max())


CUT = """
import os
os.environ["JAX_NUM_CPU_DEVICES"] = "2"
import flambeau
import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from flambeau.native import moving

mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,))
table, index = np.arange(64000.0, dtype=np.float32).reshape(1000, 64), np.arange(512) * 7 % 1000
cut = NamedSharding(mesh, PartitionSpec("x"))
for where in (cut, NamedSharding(mesh, PartitionSpec())):
    program = jax.jit(moving.rows_at).lower(table, jax.device_put(index, where))
    made = program.compile()(table, jax.device_put(index, where))
    assert np.array_equal(np.asarray(made), table[index])
    assert "flambeau_rows" not in program.as_text(), "XLA would gather what the call takes"
apart = jax.jit(jax.shard_map(moving.rows_at, mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec("x")), out_specs=PartitionSpec("x")))
assert "flambeau_rows" in apart.lower(table, index).as_text()
"""


@pytest.mark.skipif(not available(), reason="no compiled kernels")
def test_programs_over_several_devices_are_cut_by_xla() -> None:
    made = subprocess.run([sys.executable, "-c", CUT], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
