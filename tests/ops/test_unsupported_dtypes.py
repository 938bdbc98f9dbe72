"""Dtypes that PyTorch's kernels lack: refused as PyTorch does, never computed in another way without a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.programs import agree

CALLS: list[Callable[[Any], Any]] = [
    lambda t: t.linalg.eigh(t.ones(2, 2, dtype=t.int32)),
    lambda t: t.linalg.eigvalsh(t.ones(2, 2).bool()),
    lambda t: t.linalg.eig(t.ones(2, 2, dtype=t.int64)),
    lambda t: t.cholesky_solve(t.ones(2, 2, dtype=t.int64), t.ones(2, 2, dtype=t.int64)),
    lambda t: t.cholesky_solve(t.ones(2, 2).half(), t.ones(2, 2).half()),
    lambda t: t.cholesky_inverse(t.ones(2, 2).bfloat16()),
    lambda t: t.linalg.lu_solve(t.ones(2, 2).half(), t.ones(2).int(), t.ones(2, 2).half()),
    lambda t: t.linalg.lu_solve(t.ones(2, 2).long(), t.ones(2).int(), t.ones(2, 2).long()),
    lambda t: t.linalg.ldl_solve(t.ones(2, 2).long(), t.ones(2).int(), t.ones(2, 2).long()),
    lambda t: t.linalg.pinv(t.ones(2, 2).half()),
    lambda t: t.linalg.pinv(t.ones(2, 2).long()),
    lambda t: t.linalg.pinv(t.ones(2)),
    lambda t: t.linalg.matrix_rank(t.ones(2, 2).bool()),
    lambda t: t.linalg.svdvals(t.ones(2, 2).long()),
    lambda t: t.linalg.cond(t.ones(2, 2).long()),
    lambda t: t.tensordot(t.ones(2, 2).bool(), t.ones(2, 2).bool(), 1),
    lambda t: t.tensordot(t.ones(2).bool(), t.ones(2).bool(), 1),
    lambda t: t.tensordot(t.ones(2).bool(), t.ones(2).bool(), 0),
    lambda t: t.mvlgamma(t.ones(2).bool(), 1),
    lambda t: t.unique(t.tensor([1j, 2])),
    lambda t: t.unique(t.tensor([[1j, 2]]), dim=0),
    lambda t: t.unique_consecutive(t.tensor([1j, 2])),
    lambda t: t.aminmax(t.ones(3) * 1j, dim=0),
    lambda t: t._softmax_backward_data(t.ones(3).long(), t.ones(3).long(), 0, t.float32),
    lambda t: t.nn.functional.kl_div(t.ones(2) * 1j, t.ones(2) * 1j, reduction="sum"),
    lambda t: t.normal(t.ones(2), t.ones(2) * 1j),
    lambda t: t.normal(t.ones(3) * 1j, t.ones(3)),
    lambda t: t.masked.var(t.ones(3).bool(), 0, mask=t.ones(3).bool()),
    lambda t: t.masked.median(t.tensor([3, 1, 2]), 0, mask=t.tensor([True, False, True])),
    lambda t: t.masked.median(t.tensor([[3, 1, 2], [9, 8, 7]]), 1, mask=t.tensor([[True] * 3, [False, True, True]])),
    lambda t: t.masked.median(t.tensor([3, 1]), 0, keepdim=True, mask=t.tensor([True, True])),
    lambda t: t.masked.median(t.tensor([3, 1]), 0, mask=t.tensor([False, False])),
    lambda t: t.clamp_min(t.tensor([1 + 2j]), 0),
]


@pytest.mark.parametrize("code", CALLS)
def test_unsupported_dtypes(code: Callable[[Any], Any]) -> None:
    agree(code, words=5)
