"""What PyTorch composes of operators promotes, and overflows, at each of its steps."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb
from support.outcomes import agree_on_error, agree_on_value, outcome

ROWS = {
    "trapezoid": lambda t, a, b: t.trapezoid(a, b),
    "trapezoid of even steps": lambda t, a, b: t.trapezoid(a, dx=2),
    "cumulative_trapezoid": lambda t, a, b: t.cumulative_trapezoid(a, b),
    "pairwise_distance": lambda t, a, b: t.nn.functional.pairwise_distance(a[None], b[None]),
    "pairwise_distance of whole eps": lambda t, a, b: t.nn.functional.pairwise_distance(a[None], b[None], p=1, eps=1),
    "margin_ranking_loss": lambda t, a, b: t.nn.functional.margin_ranking_loss(a, b, a, margin=2, reduction="none"),
    "cosine_embedding_loss": lambda t, a, b: t.nn.functional.cosine_embedding_loss(a[None], b[None], t.ones(1)),
    "triplet_margin_loss": lambda t, a, b: t.nn.functional.triplet_margin_loss(a[None], b[None], a[None], swap=True),
    "poisson_nll_loss": lambda t, a, b: t.nn.functional.poisson_nll_loss(a / 50 if a.is_floating_point() else a, b),
    "poisson_nll_loss of rates": lambda t, a, b: t.nn.functional.poisson_nll_loss(a, b, log_input=False, full=True),
    "gaussian_nll_loss": lambda t, a, b: t.nn.functional.gaussian_nll_loss(a, b, t.ones(4)),
    "multilabel_soft_margin_loss": lambda t, a, b: t.nn.functional.multilabel_soft_margin_loss(a + 0.5, b),
}
PAIRS = [
    ("uint8", "uint8"), ("int8", "int8"), ("uint8", "int8"), ("int8", "float32"), ("float32", "uint8"), ("int64", "int16"),
]  # fmt: skip
NUMBERS = [1, 100, 3, 9], [5, 4, 3, 120]


@pytest.mark.parametrize("name", ROWS)
def test_promotion_at_each_step(name: str) -> None:
    code: Callable[..., Any] = ROWS[name]
    for dtypes in PAIRS:
        results = []
        for t in (fb, torch):
            a, b = (t.tensor(v, dtype=getattr(t, d)) for v, d in zip(NUMBERS, dtypes, strict=True))
            results.append(outcome(functools.partial(code, t, a, b)))
        if not agree_on_error(*results):
            agree_on_value(results[0].value, results[1].value)


def test_what_is_put_into_unsigned_bytes() -> None:
    def codes(t: Any) -> list[Any]:
        bytes_, floats = t.zeros(3, 3, dtype=t.uint8), t.tensor([-1.5, 300.0, 2.0])
        return [
            t.diagonal_scatter(bytes_, floats),
            t.select_scatter(bytes_, floats, 0, 1),
            t.slice_scatter(bytes_, floats[None], 0, 0, 1),
        ]

    for ours, theirs in zip(codes(fb), codes(torch), strict=True):
        agree_on_value(ours, theirs)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_what_normalizations_keep_of_halves(half: str) -> None:
    """Means and deviations have the input's dtype, or float32 where the parameters have."""

    def kept(t: Any) -> list[Any]:
        x, found = t.ones(2, 3, 4, dtype=getattr(t, half)), []
        for parameters, statistics in itertools.product((None, half, "float32"), repeat=2):
            w, r = (None if d is None else t.ones(3, dtype=getattr(t, d)) for d in (parameters, statistics))
            v = None if w is None else t.ones(4, dtype=w.dtype)
            for code in (
                lambda v=v: t.native_layer_norm(x, [4], v, v, 1e-5),
                lambda w=w: t.native_group_norm(x, w, w, 2, 3, 4, 1, 1e-5),
                lambda w=w, r=r: t.native_batch_norm(x, w, w, r, r, True, 0.1, 1e-5),
            ):
                made = outcome(code)
                found.append(str(made.error).split(" (")[0] if made.error else [str(p.dtype) for p in made.value])
        return found

    assert kept(fb) == kept(torch)


def test_dtypes_that_normalizations_refuse() -> None:
    def told(t: Any) -> list[str]:
        said = []
        dtypes = (None, "bfloat16", "float32", "float64")
        for given, w, b, r in itertools.product(("bfloat16", "float32", "float64"), dtypes, dtypes, dtypes):
            x = t.ones(2, 3, 4, dtype=getattr(t, given))
            weight, bias, running = (None if d is None else t.ones(3, dtype=getattr(t, d)) for d in (w, b, r))
            f = t.nn.functional
            for code in (
                lambda: f.batch_norm(x, running, running, weight, bias, running is None),  # noqa: B023
                lambda: f.group_norm(x, 3, weight, bias),  # noqa: B023
            ):
                made = outcome(code)
                said.append(str(made.error).split(" (p")[0].split(" (got")[0] if made.error else str(made.value.dtype))
        return said

    assert told(fb) == told(torch)


OF_HALVES = {
    "hardsigmoid": lambda t, x: t.nn.functional.hardsigmoid(x),
    "hardswish": lambda t, x: t.nn.functional.hardswish(x),
    "glu": lambda t, x: t.nn.functional.glu(x),
    "hypot": lambda t, x: t.hypot(x, x.flip(0)),
    "logaddexp2": lambda t, x: t.logaddexp2(x, x.flip(0)),
    "addcdiv": lambda t, x: t.addcdiv(x, x.flip(0), x.abs() + 1, value=0.3),
    "gradient": lambda t, x: t.gradient(x)[0],
    "trace": lambda t, x: x[:900].reshape(30, 30).trace(),
    "std": lambda t, x: x.reshape(10, -1).std(0),
    "renorm": lambda t, x: x.reshape(10, -1).renorm(2, 0, 3.0),
    "huber_loss": lambda t, x: t.nn.functional.huber_loss(x, x.flip(0), reduction="none"),
    "smooth_l1_loss": lambda t, x: t.nn.functional.smooth_l1_loss(x, x.flip(0), reduction="none"),
}


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", OF_HALVES)
def test_halves_are_rounded_once(name: str, half: str) -> None:
    numbers = [((i * 7919) % 1000) / 40 - 12.5 for i in range(1000)]
    ours, theirs = (OF_HALVES[name](t, t.tensor(numbers, dtype=getattr(t, half))) for t in (fb, torch))
    agree_on_value(ours, theirs, exact=True)


def test_numbers_of_8_bits_are_moved() -> None:
    def moved(t: Any) -> list[Any]:
        m = (t.arange(9.0).reshape(3, 3) - 4).to(t.float8_e4m3fn)
        v = m[0]
        made = [
            *(m.flipud(), m.diag(), v.diag(), t.diag_embed(v), t.diagflat(v), t.combinations(v)),
            *(t.hstack([m, m]), t.vstack([m, m]), t.dstack([m, m]), t.column_stack([m, m]), t.block_diag(m, m)),
            *(t.select_scatter(m, v, 0, 1), t.diagonal_scatter(m, v), t.slice_scatter(m, m[:1], 0, 0, 1)),
            *(t.alias_copy(m), t.permute_copy(m, (1, 0)), t.expand_copy(v, (2, 3)), t.diagonal_copy(m)),
        ]
        return [(str(x.dtype), x.float().tolist()) for x in made]

    assert moved(fb) == moved(torch)


MIXED = {
    "masked.var of halves": lambda t: t.masked.var(t.arange(3.0).half(), 0),
    "masked.std of halves": lambda t: t.masked.std(t.arange(3.0).bfloat16(), 0, mask=t.tensor([True, False, True])),
    "masked.logaddexp": lambda t: t.masked.logaddexp(t.arange(3.0).half(), t.arange(3.0)),
    "masked.logaddexp of doubles": lambda t: t.masked.logaddexp(t.arange(3.0), t.arange(3.0).double()),
    "softmax's gradient": lambda t: t._softmax_backward_data(t.arange(3.0).double(), t.ones(3).double(), 0, t.float32),
    "softmax's gradient of two": lambda t: t._softmax_backward_data(t.ones(3), t.ones(3).double(), 0, t.float32),
    "softmax's gradient for halves": lambda t: t._softmax_backward_data(t.ones(3), t.ones(3), 0, t.float16),
    "mean of a pool": lambda t: t.nn.functional.adaptive_avg_pool2d(t.ones(1, 2, 3, 2, dtype=t.int64), 1),
    "pinv": lambda t: t.linalg.pinv(t.eye(2), rtol=t.tensor(0.1j)),
    "binary_cross_entropy": lambda t: t.nn.functional.binary_cross_entropy(t.tensor([0, 1]), t.tensor([0, 2])),
    "gather": lambda t: t.ones(2).to(t.float8_e5m2).gather(0, t.zeros(1, dtype=t.int64)),
}


@pytest.mark.parametrize("name", MIXED)
def test_dtypes_of_results_and_refusals(name: str) -> None:
    ours, theirs = (outcome(lambda t=t: MIXED[name](t)) for t in (fb, torch))
    if not agree_on_error(ours, theirs, first=5):
        agree_on_value(ours.value, theirs.value)


def test_what_convolutions_refuse_first() -> None:
    """Bools and small integers before other weights, numbers that a transposed one can't hold in its bias."""

    def told(t: Any) -> list[str]:
        said = []
        for dtype, n, turned, own in itertools.product(("int8", "bool", "int64"), (1, 3), (False, True), (False, True)):
            convolve = getattr(t.nn.functional, f"conv_transpose{n}d" if turned else f"conv{n}d")
            x, w = t.ones(1, 2, *[3] * n).to(getattr(t, dtype)), t.ones(2, 2, *[2] * n)
            for bias in (None, t.ones(2)):
                made = outcome(functools.partial(convolve, x, w.to(x.dtype) if own else w, bias))
                said.append(str(made.error).split(" (")[0] if made.error else str(made.value.dtype))
        return said

    assert told(fb) == told(torch)
