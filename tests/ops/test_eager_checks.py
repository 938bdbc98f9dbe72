"""Arguments that torch refuses for their values are refused when they are given."""

from __future__ import annotations

import pytest

import flambeau as fb
from support.programs import agree


def _table(t):
    return t.arange(12.0).reshape(6, 2)


def _bag(t, *arguments, **options):
    input, *offsets = (t.tensor(a) for a in arguments)
    return t.nn.functional.embedding_bag(input, _table(t), *offsets, **options)


def _multi(t, target, shape=(1, 3), **options):
    return t.nn.functional.multi_margin_loss(t.linspace(0, 1, 3).expand(*shape), t.tensor(target), **options)


def _multilabel(t, target):
    return t.nn.functional.multilabel_margin_loss(t.tensor([[0.1, 0.2, 0.4]]), t.tensor(target))


CASES = {
    "first offset": lambda t: _bag(t, [1, 2, 3], [1, 2]),
    "last offset": lambda t: _bag(t, [1, 2, 3], [0, 5]),
    "offsets of floats": lambda t: _bag(t, [1, 2], [0.0]),
    "no offsets": lambda t: _bag(t, [1, 2]),
    "no last offset": lambda t: t.nn.functional.embedding_bag(
        t.tensor([1]), _table(t), t.tensor([], dtype=t.int64), include_last_offset=True
    ),
    "padding row of a bag": lambda t: _bag(t, [1, 2], [0], padding_idx=9),
    "weights of another dtype": lambda t: _bag(
        t, [1, 2], [0], mode="sum", per_sample_weights=t.ones(2, dtype=t.float64)
    ),
    "table of one dimension": lambda t: t.nn.functional.embedding_bag(t.tensor([1]), t.ones(3), t.tensor([0])),
    "row of a bag's maximum": lambda t: _bag(t, [1, 99], [0], mode="max"),
    "row of a bag of doubles": lambda t: t.nn.functional.embedding_bag(
        t.tensor([-1]), _table(t).double(), t.tensor([0])
    ),
    "row to be shortened": lambda t: t.embedding_renorm_(_table(t), t.tensor([0, 99]), 1.0, 2.0),
    "row to be shortened before its use": lambda t: t.nn.functional.embedding(t.tensor([99]), _table(t), max_norm=1.0),
    "row of a bag to be shortened": lambda t: _bag(t, [-99], [0], max_norm=1.0),
    "place in an array of no elements": lambda t: t.unravel_index(t.tensor([0]), (2, 0)),
    "bag's arguments exchanged": lambda t: t.nn.functional.embedding_bag(_table(t), t.tensor([1, 2]), t.tensor([0])),
    "class too high": lambda t: _multi(t, [3]),
    "class below zero": lambda t: _multi(t, [-1]),
    "classes for other samples": lambda t: _multi(t, [0, 1]),
    "weights for other classes": lambda t: _multi(t, [0], weight=t.ones(2)),
    "listed class too high": lambda t: _multilabel(t, [[0, -1, 5]]),
    "listed class below -1": lambda t: _multilabel(t, [[-2, 0, 1]]),
    "lists of another size": lambda t: _multilabel(t, [[0, 1]]),
    "fill_": lambda t: t.zeros(1, dtype=t.uint8).fill_(300),
    "fill_ far too big": lambda t: t.zeros(1, dtype=t.int64).fill_(2**64),
    "masked_fill": lambda t: t.zeros(1, dtype=t.int8).masked_fill(t.tensor([True]), -200),
    "full": lambda t: t.full((1,), 70000, dtype=t.int16),
    "assigned": lambda t: t.zeros(1, dtype=t.int8).__setitem__(0, 2**65),
    "index_fill": lambda t: t.zeros(1, dtype=t.uint8).index_fill(0, t.tensor([0]), 300),
    "index_fill_": lambda t: t.zeros(1, dtype=t.uint8).index_fill_(0, t.tensor([0]), 300),
    "where": lambda t: t.where(t.tensor([True]), t.zeros(1, dtype=t.uint8), 300),
    "added, far too big": lambda t: t.zeros(1, dtype=t.int64) + 2**65,
    "as_strided": lambda t: t.zeros(4).as_strided((2, 2), (3, 1), 1),
    "as_strided from before the start": lambda t: t.zeros(4).as_strided((2,), (1,), -1),
    "set_": lambda t: t.zeros(4, requires_grad=True).set_(t.ones(2)),
    "LU without pivoting": lambda t: t.linalg.lu(t.ones(2, 2), pivot=False),
}
SAME = {
    "pooled places of no images": lambda t: [
        t.nn.functional.fractional_max_pool3d(t.ones(0, 2, 5, 5, 5), 2, output_size=2),
        t.nn.functional.fractional_max_pool2d(t.ones(0, 2, 5, 5), 2, output_size=2),
    ],
}

WITHOUT_A_KERNEL = {  # or another one than for other dtypes
    "bool": [
        lambda t, b: t.trapezoid(b),
        lambda t, b: t.cumulative_trapezoid(b, b),
        lambda t, b: t.gradient(b),
        lambda t, b: t.bucketize(b, b),
        lambda t, b: t.inner(b, b),
        lambda t, b: t.vdot(b, b),
        lambda t, b: t.bmm(b[None, None], b[None, :, None]),
        lambda t, b: t.linalg.multi_dot([b[None], b[:, None]]),
        lambda t, b: t.linalg.vander(b),
        lambda t, b: t.linalg.vecdot(b, b),
        lambda t, b: t.trace(b[None]),
        lambda t, b: t.dist(b, b),
        lambda t, b: t.einsum("i->", b),
        lambda t, b: t.einsum("i,i->", b, b),
        lambda t, b: b.scatter_reduce(0, t.tensor([0]), b[:1], "mean"),
        lambda t, b: t.masked.cumsum(b, 0),
        lambda t, b: t.linspace(0, 1, 3, dtype=b.dtype),
        lambda t, b: t.linspace(0, 1, 0, dtype=b.dtype),
    ],
    "int32": [
        lambda t, i: t.igamma(i, i),
        lambda t, i: t.igammac(i, i.float()),
        lambda t, i: t.einsum("ij->i", t.ones(2, 2, dtype=i.dtype)),
        lambda t, i: t.linalg.lu(i[None]),
        lambda t, i: t.linalg.lu_factor(i[None]),
        lambda t, i: t.linalg.solve_triangular(i[:1, None], i[:1, None], upper=True),
        lambda t, i: t.histogram(i, 2),
        lambda t, i: t.renorm(i[None], 2, 0, 0.5),
        lambda t, i: t.masked.mean(i),
        lambda t, i: t.masked.median(i, 0),
        lambda t, i: t.masked.cumsum(i, 0),
        lambda t, i: t.gradient(i.byte()),
        lambda t, i: t.unravel_index(i.float(), (2, 2)),
        lambda t, i: t.view_as_complex(i[:2]),
    ],
    "float16": [
        lambda t, h: t.cdist(h[None], h[None]),
        lambda t, h: t.histogram(h, 2),
        lambda t, h: t.linalg.cholesky(h[:1, None]),
        lambda t, h: t.linalg.inv(h[:1, None]),
        lambda t, h: t.linalg.qr(h[None]),
        lambda t, h: t.linalg.svd(h[None]),
        lambda t, h: t.linalg.eigh(h[:1, None]),
        lambda t, h: t.linalg.eig(h[:1, None]),
        lambda t, h: t.linalg.solve(h[:1, None], h[:1]),
        lambda t, h: t.linalg.lstsq(h[:, None], h[:, None]),
        lambda t, h: t.linalg.ldl_factor(h[:1, None]),
        lambda t, h: t.linalg.vander(h),
        lambda t, h: t.special.log_ndtr(h),
        lambda t, h: t.special.ndtri(h / 4),
        lambda t, h: t.special.erfcx(h),
        lambda t, h: t.special.zeta(h, h),
    ],
    "complex64": [
        lambda t, c: t.max(c, 0),
        lambda t, c: t.aminmax(c),
        lambda t, c: t.histc(c, 2),
        lambda t, c: t.igamma(c, c),
        lambda t, c: t.cdist(c[None], c[None]),
        lambda t, c: t.erf(c),
        lambda t, c: t.digamma(c),
        lambda t, c: t.polygamma(1, c),
        lambda t, c: t.round(c),
        lambda t, c: t.arange(3, dtype=c.dtype),
        lambda t, c: c.scatter_reduce(0, t.tensor([0]), c[:1], "amax"),
    ],
}


@pytest.mark.parametrize("dtype", WITHOUT_A_KERNEL)
def test_dtypes(dtype):
    for code in WITHOUT_A_KERNEL[dtype]:
        agree(lambda t, code=code: code(t, t.tensor([3, 1, 2], dtype=getattr(t, dtype))), words=None)


@pytest.mark.parametrize("out", ["zeros(3, device='meta')", "zeros(3, dtype=t.float64)"])
def test_out_of_factories(out):
    agree(lambda t: t.arange(3, dtype=t.float32, device="cpu", out=eval(f"t.{out}", {"t": t})), words=None)


@pytest.mark.parametrize("name", {**CASES, **SAME})
def test_as_in_torch(name):
    agree({**CASES, **SAME}[name], words=4)


@pytest.mark.parametrize("name", CASES)
def test_is_a_refusal_or_a_warning(name):
    """So that a case can't pass because both libraries have come to accept it."""
    import torch

    if name == "bag's arguments exchanged":
        with pytest.warns(UserWarning, match="Argument order"):
            CASES[name](torch)
    else:
        with pytest.raises((RuntimeError, ValueError, TypeError, OverflowError, IndexError)):
            CASES[name](torch)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("given", [9, 3, -2])
def test_class_that_is_told_is_the_one_given(given, compiled) -> None:
    loss = fb.nn.functional.multilabel_margin_loss
    run = fb.compile(loss) if compiled else loss
    with pytest.raises(RuntimeError, match=f"'target' is out of range: got {given}, with 3 classes"):
        run(fb.tensor([[0.1, 0.2, 0.4]]), fb.tensor([[0, given, -1]]))
