"""Dtypes that PyTorch's kernels refuse, and the empty and 0-dim tensors for which it never asks a kernel."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.masked

REFUSED = [
    "t.eye(2, dtype=t.int64).cholesky()",
    "t.aminmax(t.ones((), dtype=t.cfloat), dim=0)",
    "t.aminmax(t.ones(3, dtype=t.cfloat), dim=0)",
    "t.cummax(t.ones(3, dtype=t.cfloat), 0)",
    "t.mode(t.ones(0, dtype=t.cfloat))",
    "t.mode(t.ones(3, dtype=t.cfloat))",
    "t.kthvalue(t.ones(2, dtype=t.bool), 1)",
    "t.histogram(t.ones(3).half(), 3)",
    "t.linalg.svd(t.ones(2, 3).half())",
    "t.searchsorted(t.ones(0, dtype=t.bool), t.ones(3, dtype=t.bool))",
    "t.polar(t.ones(2).half(), t.ones(2).half())",
    "t.round(t.tensor([1, 2]), decimals=0)",
    "t.tensor([1, 2]).round_(decimals=0)",
    "t.pdist(t.ones(2, 5).half())",
    "t.nn.functional.cross_entropy(t.ones(2, 3).long(), t.ones(2, 3).long())",
    "t.nn.functional.cross_entropy(t.ones(2, 3).cfloat(), t.ones(2, 3).cfloat())",
    "t.nn.functional.cross_entropy(t.ones(2, 3).long(), t.ones(2).long())",
    "t.nn.functional.conv1d(t.ones(2, 4).int(), t.ones(2, 2, 2).int(), dilation=2)",
    "t.nn.functional.conv3d(t.ones(1, 2, 4, 4, 4).int(), t.ones(2, 2, 2, 2, 2).int(), dilation=2)",
    "t.linalg.ldl_solve(t.eye(2).half(), t.tensor([1, 2], dtype=t.int32), t.ones(2, 2).half())",
    "t.svd_lowrank(t.ones(3, 2).int(), q=2)",
    "t.pca_lowrank(t.ones(3, 2).bfloat16(), q=2, center=False)",
    "t.masked.amax(t.tensor([True, False]), 0, mask=t.tensor([True, False]))",
    "t.masked.logsumexp(t.tensor([True, False]), 0, mask=t.tensor([True, False]))",
    "t.masked.argmin(t.tensor([True, False]), 0, mask=t.tensor([True, False]))",
    "t.masked.amin(t.tensor([1j, 0]), 0, mask=t.tensor([True, False]))",
    "t.masked.softmin(t.tensor([True, False]), 0, mask=t.tensor([True, False]))",
    "t.masked.log_softmax(t.tensor([1j, 0]), 0, mask=t.tensor([True, False]))",
    "np.asarray(t.ones(2, dtype=t.bfloat16))",
    "np.float32(t.ones((), dtype=t.bfloat16))",
    "t.broadcast_to(t.ones(3), 2, 3)",
    # two of other dtypes, which other operators promote
    "t.cross(t.ones(3), t.ones(3).double(), dim=0)",
    "t.linalg.cross(t.ones(2, 3), t.ones(3).int())",
    "t.linalg.cross(t.ones(2).bool(), t.ones(3).bool())",
    "t.linalg.vecdot(t.ones(3), t.ones(3).cfloat())",
    "t.tensordot(t.ones(3), t.ones(3).double(), 1)",
    "t.tensordot(t.ones(3).bool(), t.ones(3), 0)",
    "t.dist(t.ones(3), t.ones(3).bool())",
    "t.histogram(t.ones(3), 2, weight=t.ones(3).double())",
    "t.triangular_solve(t.ones(2, 1), t.eye(2).double())",
    "t.normal(t.ones(2).int(), t.ones(2))",
    *(
        f"t.{f}([t.ones(2), t.ones(2)], out=t.zeros(4, dtype=t.int64))"
        for f in ("cat", "stack", "hstack", "column_stack")
    ),
]

TAKEN = [
    "t.cummax(t.ones((), dtype=t.cfloat), 0)",
    "t.cummin(t.ones(0, dtype=t.cfloat), 0)",
    "t.mode(t.ones((), dtype=t.cfloat))",
    "t.mode(t.ones(0, 3, dtype=t.cfloat), 1)",
    "t.kthvalue(t.ones((), dtype=t.bool), 1)",
    "t.histogram(t.ones(3).half(), t.tensor([0., 1, 2]).half())",
    "t.linalg.svd(t.ones(0, 3).half())",
    "t.linalg.svd(t.ones(2, 0).half(), full_matrices=False)",
    "t.linalg.svdvals(t.ones(0, 3).half())",
    "t.linalg.eigh(t.ones(0, 0).half())",
    "t.searchsorted(t.ones(3, dtype=t.bool), t.ones(0, dtype=t.bool))",
    "t.searchsorted(t.ones(0), t.ones(3))",
    "t.round(t.tensor([1, 2]))",
    "t.round(t.tensor([0.5, 1.26]), decimals=0)",
    "t.pdist(t.ones(1, 5).half())",
    "t.nn.functional.conv1d(t.ones(2, 4).int(), t.ones(2, 2, 2).int())",
    "t.nn.functional.conv1d(t.ones(2, 4).long(), t.ones(2, 2, 2).long(), dilation=2)",
    "t.masked.softmax(t.tensor([1., 2]), 0, mask=t.tensor([True, False]))",
    "t.masked.softmin(t.tensor([1., 2]), 0)",
    "t.masked.amax(t.tensor([True, False]), 0)",
    "t.linalg.solve_triangular(t.eye(2) * 2, t.ones(2, 1).double(), upper=True)",
    "t.linalg.solve_triangular(t.eye(2).double() * 2, t.ones(1, 2).long(), upper=True, left=False)",
    "t.linalg.solve_triangular(t.eye(2), t.ones(2, 1).cfloat(), upper=False)",
    "t.cov(t.tensor([[1., 3], [2, 0]]), aweights=t.tensor([.5, .5]).double())",
    "t.cov(t.tensor([[1., 3], [2, 0]]).half(), aweights=t.tensor([.5, .5]))",
    "t.normal(t.ones(2), t.zeros(2).int())",
    "t.arange(0, 1e50, 1e49)",
    "t.arange(-1e50, 1e50, 1e49)",
    *(f"t.arange(-1.7, {end}, 0.37, dtype=t.{kind})" for end in (0, 3, 5.5, 9) for kind in ("float32", "float64")),
    "t.arange(0, 1e308, 1e307, dtype=t.float64)",
    "t.arange(-1.7e308, 0, 1e307, dtype=t.float64)",
]


def tried(lib, code):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cholesky's, that it is deprecated
            made = eval(code, {"t": lib, "np": np})
    except Exception as error:
        return error
    made = made if isinstance(made, tuple) else (made,)
    return [(str(x.dtype).split(".")[-1], tuple(x.shape), x.tolist()) for x in made]


@pytest.mark.parametrize("code", REFUSED)
def test_what_kernels_refuse(code):
    theirs, ours = tried(torch, code), tried(fb, code)
    assert isinstance(theirs, Exception) and type(ours) is type(theirs), (ours, theirs)
    assert " ".join(str(theirs).split()[:2]) in str(ours)


@pytest.mark.parametrize("code", TAKEN)
def test_what_no_kernel_is_asked_for(code):
    assert tried(fb, code) == tried(torch, code)


@pytest.mark.parametrize("p", [0.5, 1.5, 3.0, -1.0])
@pytest.mark.parametrize("values", [[0.0, float("inf"), 1.0], [0.0, float("nan"), 1.0], [0.0, 0.0], [0.0, 2.0, 1.0]])
def test_slopes_of_norms_at_zero(p, values):
    functions = [lambda lib, x: x.norm(p), lambda lib, x: lib.nn.functional.normalize(x, p=p, dim=0).sum()]
    for made in functions[: 1 if p < 0 and float("inf") in values else 2]:  # (normalize's own slope by infinity is nan)
        grads = []
        for lib in (fb, torch):
            x = lib.tensor(values, requires_grad=True)
            made(lib, x).backward()
            grads.append(x.grad.numpy())
        np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-6)
