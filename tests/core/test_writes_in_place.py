"""Writes into views, which may take over memory, and views that need no copy: nobody else's values change."""

from __future__ import annotations

import threading
from typing import Any

import jax
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.array import devices

WRITES = """
x[0] = 1.5
x[1, 2] = 7
x[-1, 1:3] = 2.5
x[..., 0] = True
x[:] = 3
x[()] = 4.0
x[None, 1] = 5.0
x[1:1] = 2.0
x[::2, 1] = 9
x[2] = x[0]
x[0] = x.t()[0, 0]
x[:, 1] = t.arange(3.0)
x[:2] = t.tensor([[1.0], [2.0]])
x[1] = t.tensor([[1.0, 2.0, 3.0, 4.0]])
x[1] = t.arange(4)
x.t()[1] = t.arange(3.0)
x.view(-1)[5] = 8.0
x.view(2, 6)[1, 1:] = 0.5
x[0] = float("nan")
x[0] = 1j
x[0] = 2 + 0j
x[0] = 2**64
x[0] = t.arange(3.0)
x[0, 0] = t.arange(2.0)
x.expand(2, 3, 4)[0] = 1.0
x[:1].expand(3, 4)[0] = 1.0
x.long()[0] = 2.7
x.long()[0] = float("inf")
x.to(t.uint8)[0] = -1
x.to(t.uint8)[0] = 300
x.bool()[0] = 3
x.half()[0] = 1e6
x.bfloat16()[0] = 1.00390625
x.double()[0] = 1 / 3
x.to(t.complex64)[0] = 1 + 2j
x.to(t.complex64)[0] = 1
t.view_as_real(x.to(t.complex64))[0] = 1.5
x[t.tensor(1)] = 4.0
x[True] = 1.0
x[[0, 1], 1] = 2.0
x[5] = 1.0
x[0, 0, 0] = 1.0
""".strip().splitlines()


def result(library: Any, line: str) -> Any:
    x = library.arange(12.0).reshape(3, 4).clone()
    names = {"x": x, "t": library}
    target = line.split(" = ")[0]
    outer = target[: target.rindex("[")] if "[" in target else "x"
    try:
        names["held"] = eval(outer, names)
        exec("held" + target[len(outer) :] + " = " + line.split(" = ", 1)[1], names)
    except Exception as error:
        return type(error), str(error).split("\n")[0].split(" (")[0]
    return [[str(v.dtype).split(".")[-1], v.cpu().to(library.complex128).tolist()] for v in (x, names["held"])]


@pytest.mark.parametrize("line", WRITES)
def test_what_is_written_is_what_pytorch_writes(line: str) -> None:
    ours, theirs = result(fb, line), result(torch, line)
    if isinstance(theirs, tuple):
        assert ours[0] is theirs[0], (ours, theirs)
    else:
        assert repr(ours) == repr(theirs)


def address(x: Any) -> int:
    return x._storage.value.unsafe_buffer_pointer()


def test_a_write_takes_over_memory_that_nobody_else_has() -> None:
    x = fb.zeros(128, 64) + 1.0  # with fewer elements the host writes, into a copy
    x[0] = 1.0  # XLA gives over no memory of NumPy's, where this sum may have been made
    before = address(x)
    x[3] = 2.0
    x[:, 4] = fb.arange(128.0)
    assert address(x) == before
    expected = np.ones((128, 64))
    expected[3] = 2.0
    expected[:, 4] = np.arange(128.0)
    np.testing.assert_array_equal(x.numpy(), expected)


def test_a_write_leaves_what_others_hold() -> None:
    x = fb.arange(4096.0) + 0.0
    copy, seen, on_host = x.clone(), x.view(64, 64) * 1.0, np.asarray(x._storage.value)
    weight = fb.ones(4096, requires_grad=True)
    product = weight * x
    whole = x.view(64, 64)
    shown = whole._array
    x[7] = -1.0
    for other in (copy.numpy(), seen.numpy().reshape(-1), on_host, np.asarray(shown).reshape(-1)):
        assert other[7] == 7.0
    assert whole[0, 7].item() == -1.0
    product.sum().backward()
    assert weight.grad[7].item() == 7.0
    memory = x.numpy()
    x[8] = -2.0
    assert memory[8] == -2.0
    memory[9] = -3.0
    assert x[9].item() == -3.0


def test_a_write_leaves_what_was_put_elsewhere() -> None:
    one = jax.sharding.NamedSharding(jax.make_mesh((1,), ("x",)), jax.sharding.PartitionSpec())
    for move, where in ((devices.put, jax.devices()[0]), (devices.put, one), (devices.spread, one)):
        for x in (fb.zeros(64) + 1.0, fb.zeros(64).bfloat16() + 1.0):
            other = move(x._array, where)
            x[0] = 2.0
            assert x[0].item() == 2.0 and not other.is_deleted()
            assert np.asarray(other).astype(float).sum() == 64.0


def test_memory_that_only_a_later_numpy_holds_is_shared() -> None:
    x = fb.from_numpy(np.zeros((3, 4)))
    memory = x.numpy()
    assert x.sum().item() == 0.0
    memory[0, 1] = 5.0
    assert x.sum().item() == 5.0
    x[2] = 1.0
    assert memory.sum() == 9.0


def test_a_write_beside_other_threads_takes_over_nothing() -> None:
    x = fb.zeros(64, 64) + 1.0
    done, begun, before = threading.Event(), threading.Event(), address(x)
    other = threading.Thread(target=lambda: (begun.set(), done.wait()))
    other.start()
    begun.wait()
    held = x._storage.value.unsafe_buffer_pointer
    try:
        x[3] = 2.0
        assert x[3, 0].item() == 2.0
        assert held() == before  # the old array is as it was
    finally:
        done.set()
        other.join()


def test_a_view_of_everything_is_no_copy() -> None:
    x = fb.zeros(64, 64) + 1.0
    y = x.view(16, 256)
    assert y._array.unsafe_buffer_pointer() == address(x)
    y.mul_(3.0)
    assert x.sum().item() == 3 * 64 * 64
    x[0] = 0.0
    assert y[0, 0].item() == 0.0
    assert y[15, 255].item() == 3.0


def test_gradients_of_views_are_pytorchs() -> None:
    programs = (
        "x[1]", "x[:, 2]", "x[::2, 1:]", "x.view(2, 6)", "x.flatten()[3:7]", "x.t()[1]", "x.unfold(1, 2, 1)", "x.diagonal()", "x[1:1]",
        "x.expand(2, 3, 4)[1]", "x[None, ..., 1]", "x.as_strided((2, 2), (1, 3), 2)",
    )  # fmt: skip
    for text in programs:
        grads = []
        for library in (fb, torch):
            x = library.arange(12.0).reshape(3, 4).clone().requires_grad_()
            seen = eval(text, {"x": x})
            (seen * seen).sum().backward()
            grads.append((x.grad.tolist(), x.grad.shape))
        assert grads[0] == grads[1], text
