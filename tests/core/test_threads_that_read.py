"""A thread that reads parameters while another one trains: no update is lost, and nobody meets a storage that is half changed."""

from __future__ import annotations

import sys
import threading

import pytest

import flambeau as fb
from flambeau import nn

READS = {
    "numbers": lambda p: p.tolist(),
    "numpy": lambda p: p.detach().numpy().copy(),
    "clone": lambda p: p.detach().clone(),
    "sum": lambda p: p.detach().sum().item(),
}


def trained(compiled, read, steps=300):
    fb.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x = fb.randn(16, 8, dtype=fb.float64)

    def step():
        optimizer.zero_grad()
        loss = (model(x) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()

    run = fb.compile(step) if compiled else step
    over, errors = threading.Event(), []

    def watch():
        while not over.is_set():
            for p in model.parameters():
                try:
                    READS[read](p)
                except Exception as error:
                    errors.append(error)

    for _ in range(3):
        run()
    watcher = threading.Thread(target=watch)
    if read:
        watcher.start()
    try:
        for _ in range(steps):
            run()
    finally:
        over.set()
        if read:
            watcher.join()
    return [p.detach().clone() for p in model.parameters()], errors


@pytest.fixture
def restless():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def alone():
    return {compiled: trained(compiled, None)[0] for compiled in (False, True)}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("read", READS)
def test_no_update_is_lost(restless, alone, compiled, read):
    found, errors = trained(compiled, read)
    assert all(fb.equal(a, b) for a, b in zip(found, alone[compiled], strict=True))
    # a compiled step takes the memory of what it replaces: see docs/differences.md
    assert not [error for error in errors if "deleted" not in str(error)]
    assert compiled or not errors
