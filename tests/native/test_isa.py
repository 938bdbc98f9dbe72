"""`FLAMBEAU_NATIVE_ISA`: a sample of all kernels in the forms that other processors run, against torch in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flambeau import native
from support.process import run_code

pytestmark = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")

# `results(lib, wide)` for either library: the kernels' results, computed as torch does in float64 where `wide` says so.
SAMPLE = """
import numpy as np

def results(lib, wide):
    F, found = lib.nn.functional, {}
    rng = np.random.default_rng(0)

    def made(*shape, dtype="float32", low=None):
        values = rng.standard_normal(shape) if low is None else rng.uniform(low, 3, shape)
        return lib.tensor(values.astype(dtype)).to(lib.float64 if wide or dtype == "float64" else lib.float32)

    def add(name, function, *inputs):
        inputs = [x.requires_grad_() for x in inputs]
        y = function(*inputs)
        y = y[0] if isinstance(y, tuple) else y
        if y.requires_grad:
            (y * lib.cos(lib.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)).sum().backward()
        for i, x in enumerate((y, *(x.grad for x in inputs if x.grad is not None))):
            found[f"{name} {i}"] = x.detach().numpy()

    def layer(kind, *options, **named):
        one = getattr(lib.nn, kind)(*options, **named).to(lib.float64 if wide else lib.float32)
        for p in one.parameters():
            p.data = made(*p.shape) * 0.3
        return one

    add("streamed product", lambda a, b: a @ b, made(4, 600), made(600, 9000))
    add("planes", lambda x, w: F.conv2d(x, w, padding=1), made(2, 3, 17, 19, dtype="float64"), made(5, 3, 3, 3, dtype="float64"))
    add("few channels", lambda x, w: F.conv2d(x, w, padding=2), made(2, 3, 33, 35), made(8, 3, 5, 5))
    add("winograd", lambda x, w: F.conv2d(x, w, padding=1), made(2, 64, 30, 28), made(64, 64, 3, 3) * 0.1)
    add("max pool", lambda x: F.max_pool2d(x, 3, 2, 1), made(2, 64, 21, 19))
    norm = layer("BatchNorm2d", 32)
    add("batch norm", norm, made(4, 32, 15, 15))
    found["mean"], found["var"] = norm.running_mean.numpy(), norm.running_var.numpy()
    for kind in ("LSTM", "GRU", "RNN"):
        add(kind, layer(kind, 24, 40, batch_first=True), made(5, 7, 24))
    add("relu RNN", layer("RNN", 24, 40, nonlinearity="relu"), made(7, 5, 24))
    for name in ("sin", "cos", "tan", "atan"):
        add(name, getattr(lib, name), made(70_001))
        add(name + " in 64", getattr(lib, name), made(3001, dtype="float64"))
    add("atan2", lib.atan2, made(3001), made(3001))
    with lib.no_grad():
        found["fmod"] = lib.fmod(made(3001, dtype="float64"), made(3001, dtype="float64", low=0.5)).numpy()
    add("cumsum", lambda x: x.cumsum(1), made(40, 70))
    add("cumprod", lambda x: x.cumprod(0), made(20, 70, low=0.5))
    add("cumsum in 64", lambda x: x.cumsum(1), made(40, 70, dtype="float64"))
    found["whole sums"] = lib.tensor(rng.integers(-9, 9, (40, 70))).cumsum(0).numpy()
    found["turned"] = made(170, 201).t().contiguous().numpy()
    found["turned in 64"] = made(170, 201, dtype="float64").t().contiguous().numpy()
    x = made(30, 71)
    found["median"] = x.median(1).values.numpy()
    found["places"] = x.kthvalue(20, 0).indices.numpy()
    found["median of whole"] = lib.tensor(rng.integers(-99, 99, (30, 71))).median(0).values.numpy()
    p = lib.nn.Parameter(made(300, 300))
    optimizer = lib.optim.AdamW([p], lr=0.01)
    for _ in range(3):
        p.grad = made(300, 300)
        optimizer.step()
    found["AdamW"] = p.detach().numpy()
    for name in ("rand", "randn"):
        for dtype in ("float32", "float64"):
            generator = lib.Generator().manual_seed(3)
            drawn = getattr(lib, name)(2011, generator=generator, dtype=getattr(lib, dtype))
            found[f"{name} {'bits' if name == 'rand' else 'draws'} {dtype}"] = drawn.numpy()
    lib.manual_seed(5)
    found["uniform bits"] = lib.empty(2011).uniform_(-2, 3).numpy()
    found["bernoulli bits"] = lib.empty(2011).bernoulli_(0.3).numpy()
    found["dropout bits"] = F.dropout(lib.ones(2011), 0.3).numpy()
    for bad in (3, 900):
        try:
            lib.zeros(900)[lib.full((80,), bad)]
            found[f"{bad} inside"] = np.array(True)
        except IndexError:
            found[f"{bad} inside"] = np.array(False)
    return found
"""

OURS = """
import os
import flambeau as fb
from flambeau import native

fb.set_flush_denormal(False)
np.savez(os.environ["RESULTS"], isa=native.isa(), **results(fb, False))
"""


def ours(isa: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    file = folder / "results.npz"
    monkeypatch.setenv("FLAMBEAU_NATIVE_ISA", isa)
    monkeypatch.setenv("FLAMBEAU_FIRST_CALLS", "0")
    monkeypatch.setenv("RESULTS", str(file))
    run_code(SAMPLE + OURS)
    with np.load(file) as found:
        return dict(found)


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    names: dict[str, Any] = {}
    exec(SAMPLE, names)
    return names["results"](torch, True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("isa", ["avx2", pytest.param("baseline", marks=pytest.mark.slow)])
def test_each_form_of_the_kernels(
    isa: str, theirs: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ours(isa, tmp_path, monkeypatch)
    best = native.isa()
    assert best is not None and str(found.pop("isa")) == min(isa, best, key=native.ISAS.index)
    assert found.keys() == theirs.keys()
    for name, x in found.items():
        exact = x.dtype.kind in "bi" or "bits" in name
        bound = 0.0 if exact else (1e-12 if x.dtype == np.float64 else 2e-5) * max(1.0, np.abs(theirs[name]).max())
        np.testing.assert_allclose(x, theirs[name], rtol=0, atol=bound, err_msg=name)


def test_a_form_that_there_is_not() -> None:
    done = run_code("import os\nos.environ['FLAMBEAU_NATIVE_ISA'] = 'sse'\nimport flambeau", check=False)
    text = "ValueError: FLAMBEAU_NATIVE_ISA is to be baseline, avx2 or avx512, but it is 'sse'"
    assert done.stderr.splitlines()[-1] == text
