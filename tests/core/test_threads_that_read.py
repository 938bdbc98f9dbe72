"""A thread that reads parameters while another one trains: no update is lost, and nobody meets a storage that is half changed."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.compiler.packing import Family, PackedStorage, layout_of
from flambeau.core.tensor.storage import HostStorage, SharedStorage, Storage

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


@pytest.mark.parametrize("read", [*READS, "memory"])
def test_small_writes_beside_a_reader(restless, read):
    x, over, errors = fb.zeros(32), threading.Event(), []
    look = READS.get(read, lambda p: (p.numpy().sum(), p.device, p.dtype))

    def watch():
        while not over.is_set():
            try:
                look(x)
            except Exception as error:
                errors.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for i in range(400):
            x[i % 32] = float(i)
            x.add_(0)
            x[:4] = fb.tensor([1.0, 2.0, 3.0, float(i)])
            assert x[:4].tolist() == [1.0, 2.0, 3.0, float(i)]
    finally:
        over.set()
        watcher.join()
    assert not errors
    assert x.tolist()[4:] == [384.0 + j if j < 16 else 352.0 + j for j in range(4, 32)]


# A thread may turn up within a method's first instruction, when another one has made a storage of another class of it: so each
# class's methods are called here on storages of each class.
KINDS = (Storage, HostStorage, SharedStorage, PackedStorage)
VALUES = np.array([1.0, 2.0, 3.0])


def turned_into(kind, storage):
    """Make a storage one of this class, with VALUES; what has to live as long as it does, and its pack."""
    storage.set(fb.tensor(VALUES)._array)
    assert storage.value is not None and type(storage) is Storage  # so what it was before has settled
    if kind is HostStorage:
        storage.set_host(VALUES.copy())
    elif kind is SharedStorage:
        memory = storage.in_numpy()
        assert type(storage) is kind
        return memory, None
    elif kind is PackedStorage:
        family = Family([storage, Storage(fb.tensor(VALUES)._array)], layout_of(((3,), (3,)), np.dtype(np.float64)))
        family.accept(family.join())
        assert type(storage) is kind
        return None, family.pack
    assert type(storage) is kind
    return None, None


def as_of(kind, name):
    """A property's function, or a method, as this class has it; None where it is a slot."""
    found = next(vars(cls)[name] for cls in kind.__mro__ if name in vars(cls))
    return found.fget if isinstance(found, property) else found if callable(found) else None


@pytest.mark.parametrize("name", ["value", "shape", "dtype", "version"])
@pytest.mark.parametrize("found", KINDS)
@pytest.mark.parametrize("meant", KINDS)
def test_what_is_read_of_a_storage_that_has_changed_its_class(meant, found, name):
    storage = Storage(None)
    turned_into(meant, storage)
    held, _ = turned_into(found, storage)
    version = storage.version
    function = as_of(meant, name)
    if function is not None:
        got = function(storage)
        wanted = {"value": VALUES, "shape": (3,), "dtype": np.float64, "version": version}[name]
        assert np.array_equal(got, wanted) if name == "value" else got == wanted
    assert held is None or np.shares_memory(held, storage.in_numpy())
    assert np.array_equal(storage.value, VALUES)


@pytest.mark.parametrize("name", ["set", "set_host"])
@pytest.mark.parametrize("found", KINDS)
@pytest.mark.parametrize("meant", KINDS)
def test_what_is_written_to_a_storage_that_has_changed_its_class(meant, found, name):
    storage = Storage(None)
    turned_into(meant, storage)
    held, pack = turned_into(found, storage)
    version, new = storage.version, VALUES * 2
    as_of(meant, name)(storage, fb.tensor(new)._array if name == "set" else new)
    assert np.array_equal(storage.value, VALUES * 2)
    assert storage.version > version
    assert held is None or np.array_equal(held, VALUES * 2)
    assert pack is None or pack.broken
