"""Views that an operator reads in its own program: values, errors and writes are as if they had been written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.dispatch import seeing
from flambeau.native import available

VIEWS = [
    lambda x: x[3],
    lambda x: x[:, 2],
    lambda x: x[1:5, ::2],
    lambda x: x.t(),
    lambda x: x.view(2, 3, 8),
    lambda x: x.flatten(),
    lambda x: x.unsqueeze(0).expand(4, 6, 8),
    lambda x: x[:1].expand(6, 8),
    lambda x: x[2, 3],
    lambda x: x.diagonal(),
    lambda x: x.unfold(1, 3, 2),
    lambda x: x.as_strided((3, 3), (1, 1), 2),
    lambda x: x[2:2],
    lambda x: x.chunk(3)[1],
    lambda x: x.T[None, 1:, None],
    lambda x: x.as_strided((5,), (0,), 3),
]
CALLS = [
    lambda lib, v: v * 2,
    lambda lib, v: v + v,
    lambda lib, v: v.sum(),
    lambda lib, v: v.sum(0) if v.ndim else v,
    lambda lib, v: lib.stack([v, v, v * 0]),
    lambda lib, v: lib.where(v > 10, v, 3.0),
    lambda lib, v: v.exp().clamp(max=100.0),
    lambda lib, v: lib.cat([v.reshape(-1), v.reshape(-1)]),
]


@pytest.mark.parametrize("view", VIEWS)
def test_values_are_torchs(view: Any) -> None:
    def run(lib: Any) -> list[Any]:
        x = lib.arange(48.0).reshape(6, 8) * 1
        with lib.no_grad():
            return [call(lib, view(x)).numpy() for call in CALLS for _ in range(2)]

    for ours, theirs in zip(run(fb), run(torch), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_view_is_not_written_out() -> None:
    x = fb.randn(16, 8).exp()
    with fb.no_grad():
        row = x[3]
        assert row._cache is None
        first = row.abs()  # which the host does not compute at once
        assert row._cache is seeing._SEEN  # read inside the program
        second = row.abs()
        assert row._cache.shape == (8,)  # who asks again gets values that are kept
    assert first.tolist() == second.tolist()


def test_a_write_between_two_uses_is_seen() -> None:
    found: dict[Any, Any] = {}
    lib: Any
    for lib in (fb, torch):
        x = lib.arange(12.0).reshape(3, 4) * 1
        with lib.no_grad():
            row, seen = x[1], []
            for k in range(4):
                seen.append((row + 1).tolist())
                (row if k % 2 else x).mul_(2)
                seen.append((row + row).tolist())
        found[lib] = seen
    assert found[fb] == found[torch]


def test_a_recorded_call_keeps_the_values_of_its_time() -> None:
    base = fb.arange(6.0).reshape(2, 3) * 1
    row, weight = base[1], fb.ones(3, requires_grad=True)
    loss = (row * weight).sum()
    with fb.no_grad():
        assert (row * 2).tolist() == [6.0, 8.0, 10.0]
    base.zero_()
    loss.backward()
    assert weight.grad.tolist() == [3.0, 4.0, 5.0]


def test_errors_are_those_of_the_values() -> None:
    lib: Any
    for lib in (fb, torch):
        x = lib.arange(12.0).reshape(3, 4) * 1
        with lib.no_grad():
            with pytest.raises(RuntimeError, match="The size of tensor a"):
                x[0] + x[:, 0]
            with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|mat1 and mat2"):
                x[:2] @ x[:2]


def test_many_places_share_a_program() -> None:
    x, ways = fb.arange(48.0).reshape(6, 8) * 1, set()
    for i in range(6):
        way, starts = seeing._way(48, x[i]._view)
        ways.add(way)
        assert starts is None or starts.tolist() == [8 * i]
    assert len(ways) == 2  # the first one begins where the memory does
    with fb.no_grad():
        assert [(x[i] + x[5 - i]).tolist() for i in range(6)] == [[40.0 + 2 * k for k in range(8)]] * 6


def test_other_storages_are_read_as_ever() -> None:
    host = np.arange(6, dtype=np.float32).reshape(2, 3)
    shared = fb.from_numpy(host)
    with fb.no_grad():
        row = shared[1]
        assert (row * 2).tolist() == [6, 8, 10]
        host[1] = 1
        assert (row * 2).tolist() == [2, 2, 2]
        bits = (fb.arange(4, dtype=fb.int32) * 1).view(fb.float32)
        assert (bits * 0).tolist() == [0, 0, 0, 0]
        sparse = fb.eye(3).to_sparse()
        assert (sparse.t() * 2).to_dense().tolist() == (fb.eye(3) * 2).tolist()
        complex_ = (fb.ones(3, dtype=fb.complex64) * (1 + 2j)).real
        assert (complex_ + 1).tolist() == [2, 2, 2]


SUMS = [
    lambda v: v.sum(), lambda v: v.sum(-1), lambda v: v.var(), lambda v: v.softmax(-1), lambda v: v.logsumexp(0), lambda v: v.norm(),
    lambda v: v @ v.mT if v.ndim > 1 else v @ v, lambda v: fb.nn.functional.layer_norm(v, v.shape[-1:]), lambda v: v.cumsum(-1),
    lambda v: v.tanh() * 1.7 + v, lambda v: fb.addcmul(v, v, v), lambda v: v.amax(-1),
]  # fmt: skip


@pytest.mark.parametrize("view", [v for k, v in enumerate(VIEWS) if k not in (8, 12, 15)])
def test_the_first_use_has_the_bits_of_the_second(view: Any) -> None:
    x = fb.randn(6, 8) * 1
    with fb.no_grad():
        for call in SUMS:
            seen = view(x)
            first, second = call(seen), call(seen)
            assert first.numpy().tobytes() == second.numpy().tobytes()


LARGE = [
    lambda x: x.t(), lambda x: x[:, 3:40], lambda x: x.view(4, 20, 96).mT, lambda x: x.unsqueeze(0).expand(3, 80, 96), lambda x: x[:, 7],
]  # fmt: skip


@pytest.mark.parametrize("view", LARGE)
def test_sums_and_products_of_views_have_the_bits_of_those_of_values(view: Any) -> None:
    fb.manual_seed(0)
    x = fb.randn(80, 96) * 1
    with fb.no_grad():
        for call in SUMS[:8]:
            values = call(view(x).clone()).numpy().tobytes()
            for _ in range(2):
                seen = view(x)
                assert call(seen).numpy().tobytes() == values
                assert call(seen).numpy().tobytes() == values


@pytest.mark.skipif(not available(), reason="no compiled kernels")
def test_a_product_reads_a_turned_matrix_within_its_program() -> None:
    x = fb.randn(32, 64) * 1
    with fb.no_grad():
        for _ in range(2):  # the first call of all looks at the arguments
            turned = x.t()
            made = x @ turned
        assert turned._cache is seeing._SEEN
        np.testing.assert_allclose(made.numpy(), x.numpy().astype(float) @ x.numpy().T, atol=1e-4)
