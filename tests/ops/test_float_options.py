"""`float` options of operators are inputs of their programs: another value costs no compilation, and computes what torch does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax.monitoring
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.array import first_calls
from flambeau.core.dispatch.signature import Numbers, numbers_held

CASES: dict[str, Callable[[Any, Any, Any, float], Any]] = {
    "leaky_relu": lambda F, x, y, v: F.leaky_relu(x, v),
    "hardtanh": lambda F, x, y, v: F.hardtanh(x, -v, 2 * v),
    "threshold": lambda F, x, y, v: F.threshold(x, v, v / 3),
    "hardshrink": lambda F, x, y, v: F.hardshrink(x, v),
    "softshrink": lambda F, x, y, v: F.softshrink(x, v),
    "elu": lambda F, x, y, v: F.elu(x, v),
    "celu": lambda F, x, y, v: F.celu(x, v),
    "softplus": lambda F, x, y, v: F.softplus(x, v, 3 * v),
    "attention": lambda F, x, y, v: F.scaled_dot_product_attention(x, y, x, scale=v),
    "gaussian_nll_loss": lambda F, x, y, v: F.gaussian_nll_loss(x, y, y.abs(), eps=v),
    "cosine_similarity": lambda F, x, y, v: F.cosine_similarity(x, y, eps=v),
    "pairwise_distance": lambda F, x, y, v: F.pairwise_distance(x, y, eps=v),
    "batch_norm": lambda F, x, y, v: F.batch_norm(x, None, None, training=True, eps=v),
    "batch_norm, evaluated": lambda F, x, y, v: F.batch_norm(x, y[0], y[0].abs(), eps=v),
    "instance_norm": lambda F, x, y, v: F.instance_norm(x[None], eps=v),
    "layer_norm": lambda F, x, y, v: F.layer_norm(x, (6,), eps=v),
    "rms_norm": lambda F, x, y, v: F.rms_norm(x, (6,), eps=v),
    "group_norm": lambda F, x, y, v: F.group_norm(x, 2, eps=v),
    "local_response_norm": lambda F, x, y, v: F.local_response_norm(x[None], 3, v, v, v),
    "normalize": lambda F, x, y, v: F.normalize(x, eps=v),
    "pad": lambda F, x, y, v: F.pad(x, (1, 2), value=v),
    "smooth_l1_loss": lambda F, x, y, v: F.smooth_l1_loss(x, y, beta=v),
    "huber_loss": lambda F, x, y, v: F.huber_loss(x, y, delta=v),
    "poisson_nll_loss": lambda F, x, y, v: F.poisson_nll_loss(x.abs(), y.abs(), log_input=False, eps=v),
    "margin_ranking_loss": lambda F, x, y, v: F.margin_ranking_loss(x, y, y.sign(), margin=v),
    "hinge_embedding_loss": lambda F, x, y, v: F.hinge_embedding_loss(x, y.sign(), margin=v),
    "cosine_embedding_loss": lambda F, x, y, v: F.cosine_embedding_loss(x, y, y[:, 0].sign(), margin=v),
    "triplet_margin_loss": lambda F, x, y, v: F.triplet_margin_loss(x, y, x * y, margin=v, eps=v),
    "cross_entropy": lambda F, x, y, v: F.cross_entropy(x, (y[:, 0] > 0).long(), label_smoothing=v),
    "cross_entropy of probabilities": lambda F, x, y, v: F.cross_entropy(x, y.softmax(1), label_smoothing=v),
}  # fmt: skip


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """One entry for each program that XLA makes, and it makes all."""
    monkeypatch.setattr(first_calls, "SERVES", False)
    events: list[str] = []

    def listen(event: str, seconds: float, **rest: Any) -> None:
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def _inputs() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(4, 6)), draw.normal(size=(4, 6))


def _run(library: Any, function: Callable, value: float) -> list[np.ndarray]:
    x, y = (library.tensor(a, requires_grad=r) for a, r in zip(_inputs(), (True, False), strict=True))
    result = function(library.nn.functional, x, y, value)
    result.pow(2).sum().backward()
    return [result.detach().numpy(), x.grad.numpy()]


@pytest.mark.parametrize("name", CASES)
def test_another_value(name: str, compilations: list[str]) -> None:
    numbers_held.floats.clear()  # numbers that other tests gave
    counts = []
    for value in (0.31, 0.57, 0.83, 0.911, 0.57, 0.57):
        before = len(compilations)
        ours, theirs = _run(fb, CASES[name], value), _run(torch, CASES[name], value)
        counts.append(len(compilations) - before)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-7, atol=1e-10)  # torch rounds 1 / alpha to float32 in celu
    assert sum(counts[1:4]) == 0, counts
    assert sum(counts[4:]) == 0, counts


def test_more_values(compilations: list[str]) -> None:
    x = fb.linspace(-1, 1, 5)
    F = fb.nn.functional

    def run(v: float) -> None:
        fb.isclose(x, x + 0.1, v, v), fb.nan_to_num(x, v, v, v), fb.histc(x, 5, -v, v)
        fb.logit(x.abs(), v), F.rrelu(x, v / 2, v, True), F.dropout(x, v)
        F.embedding(fb.tensor([0]), x[:, None] * 2, max_norm=v)

    run(0.2)
    before = len(compilations)
    for v in (0.3, 0.41, 0.43):
        run(v)
    assert len(compilations) == before
    for v in (0.3, 0.25):
        theirs = torch.histc(torch.linspace(-1, 1, 5), 5, -v, v)
        assert fb.histc(x, 5, -v, v).tolist() == theirs.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32"])
def test_numbers_do_not_widen(dtype: str) -> None:
    for value in (2.0, 2, np.float32(2), fb.tensor(2.0), True):
        ours = fb.nn.functional.pad(fb.ones(2).to(getattr(fb, dtype)), (1, 0), value=value)
        assert str(ours.dtype).endswith(dtype) and ours.tolist() == [float(value), 1, 1]
    if dtype != "int32":
        assert str(fb.nn.functional.leaky_relu(fb.ones(2).to(getattr(fb, dtype)), 0.3).dtype).endswith(dtype)


def test_zeros_and_nan() -> None:
    pad = fb.nn.functional.pad
    x = fb.ones(1)
    signs = [math.copysign(1, pad(x, (1, 0), value=v)[0].item()) for v in (0.0, -0.0, 0, -0.0, 0.0)]
    assert signs == [1, -1, 1, -1, 1]
    before = len(numbers_held.floats)
    for _ in range(5):
        assert math.isnan(pad(x, (1, 0), value=float("nan"))[0].item())
    assert len(numbers_held.floats) == before


def test_repeated_numbers_are_bounded() -> None:
    numbers = Numbers()
    for i in range(3 * Numbers.MOST):
        assert float(numbers.array(1.0 + i)) == 1.0 + i and int(numbers.array(i)) == i
    assert 0 < len(numbers.floats) <= Numbers.MOST and 0 < len(numbers.ints) <= Numbers.MOST


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda F, x: F.softshrink(x, -0.5), RuntimeError),
        (lambda F, x: F.hardtanh(x, 2.0, 0.5), ValueError),
        (lambda F, x: F.celu(x, 0.0), RuntimeError),
        (lambda F, x: F.huber_loss(x, x, delta=-0.5), RuntimeError),
        (lambda F, x: F.smooth_l1_loss(x, x, beta=-0.5), RuntimeError),
        (lambda F, x: F.triplet_margin_loss(x, x, x, margin=-0.5), ValueError),
        (lambda F, x: F.triplet_margin_loss(x, x, x, margin=0), ValueError),
        (lambda F, x: F.cross_entropy(x, x.softmax(1), label_smoothing=1.5), RuntimeError),
        (lambda F, x: F.leaky_relu(x, "a"), TypeError),
        (lambda F, x: F.pad(x.to(x.dtype).char(), (1, 1), value=1000.5), RuntimeError),
    ],
)
def test_refused(call: Callable, error: type[Exception]) -> None:
    for library in (torch, fb):
        with pytest.raises(error):
            call(library.nn.functional, library.ones(2, 3))


def test_a_compiled_function_takes_them_in() -> None:
    F = fb.nn.functional
    step = fb.compile(lambda x, v: (F.leaky_relu(x, v), F.layer_norm(x, (3,), eps=v), F.huber_loss(x, 2 * x, delta=v)))
    x = fb.tensor([[-1.0, 0.5, 2.0]])
    for v in (0.1, 0.2, 0.3, 0.4, 0.7):
        found = step(x, v)
        for a, b in zip(
            found, (F.leaky_relu(x, v), F.layer_norm(x, (3,), eps=v), F.huber_loss(x, 2 * x, delta=v)), strict=True
        ):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert len(fb.compile.explain(step)) <= 2
