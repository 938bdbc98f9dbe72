"""Convolutions of 3 x 3 elements by fewer multiplications: as near to 64 bits as sums by elements, and infinities stay where they belong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from flambeau import native

from .test_convolution import Case, agrees_with_torch, expected, random_arrays

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")

CASES = [  # large enough for it
    Case((4, 64, 20, 21), (64, 64, 3, 3), low=(1, 1)),
    Case((24, 64, 9, 7), (80, 64, 3, 3), low=(1, 1)),
    Case((4, 48, 30, 29), (96, 48, 3, 3)),
    Case((2, 96, 30, 33), (48, 96, 3, 3), low=(2, 2)),
    Case((2, 64, 31, 30), (64, 64, 3, 3), low=(0, 1), high=(2, 0)),
    Case((2, 64, 28, 28), (64, 64, 3, 3), low=(4, 3), high=(0, 5)),
    Case((1, 256, 28, 30), (256, 256, 3, 3), low=(1, 1)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_passes(case):
    agrees_with_torch(case)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads(threads):
    before = native.get_num_threads()
    try:
        native.set_num_threads(threads)
        agrees_with_torch(CASES[1])
    finally:
        native.set_num_threads(before)


def test_small_integers_are_exact():
    case = CASES[0]
    arrays = {name: np.round(2 * array) for name, array in random_arrays(case).items()}
    wanted = expected(case, arrays)
    for names, f in case.functions().items():
        np.testing.assert_array_equal(jax.jit(f)(*(arrays[n] for n in names)), wanted[names].numpy())


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("where", ["x", "w", "g"])
def test_what_is_not_finite_stays_in_its_place(where, value):
    case = CASES[2]  # without padding, whose zeros the other library may multiply with an infinity
    arrays = random_arrays(case)
    arrays[where][1, 2, 0, 1] = value
    wanted = expected(case, arrays)
    for names, f in case.functions().items():
        if where in names:
            result = np.asarray(jax.jit(f)(*(arrays[n] for n in names)))
            theirs = wanted[names].numpy()
            ordinary = np.abs(theirs) < 1e30  # near the largest number a sum may be infinite in 32 bits
            assert 0 < ordinary.sum() < ordinary.size
            np.testing.assert_allclose(result[ordinary], theirs[ordinary], rtol=1e-3, atol=1e-3)
            assert not np.any(np.abs(result[~ordinary]) < 1e30)


def test_it_can_be_turned_off():
    script = """
import sys
from pathlib import Path
import jax, numpy as np
from flambeau.native import convolution as nc
rng = np.random.default_rng(0)
x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 64, 20, 21), (64, 64, 3, 3)))
y = jax.jit(lambda x, w: nc.convolution(x, w, (1, 1), (1, 1), (1, 1), (1, 1)))(x, w)
np.save(sys.stdout.buffer, np.asarray(y))
"""
    results = []
    for setting in ("0", "1"):
        environment = {**os.environ, "FLAMBEAU_WINOGRAD": setting}
        done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, check=True)
        results.append(np.frombuffer(done.stdout[128:], np.float32))
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert np.any(results[0] != results[1]) == ({"avx2", "fma"} <= flags)  # other processors never have it
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)
