"""Gradients of several views of one tensor in a compiled step: written into their parts, in place of sums (see `compiler/joining.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import flambeau as fb
from flambeau.compiler import capture
from flambeau.compiler.joining import joined


def qkv(x: Any) -> Any:
    q, k, v = x.view(6, 8, 3, 4).permute(2, 0, 1, 3)
    return (q * k.sin() + v * 2).sum()


def chunks(x: Any) -> Any:
    q, k, v = x.chunk(3, -1)
    return (q * k.sin() + v.exp()).sum()


def uneven(x: Any) -> Any:
    q, k, v = x.split([5, 3, 4], -1)
    return q.sin().sum() * k.cos().sum() + v.exp().sum()


def each(x: Any) -> Any:
    return sum((part * (n + 1)).sin().sum() for n, part in enumerate(x.unbind(1)))


def overlapping(x: Any) -> Any:
    return (x[0] * x[0].sin()).sum() + x[0].exp().sum() + x[1].cos().sum()


def crossing(x: Any) -> Any:
    return (x[:3] * x[3:].sin()).sum() + (x[:, :4] * x[:, 4:]).cos().sum()


def also_whole(x: Any) -> Any:
    return (x[0] * x[1].sin()).sum() + x.tanh().sum() + x[::2].cos().sum()


def _sums(closed: Any) -> int:
    return sum(
        _sums(e.params["jaxpr"]) if e.primitive.name == "jit" else
        e.primitive.name in ("add", "add_any") and e.outvars[0].aval.size >= 576
        for e in closed.jaxpr.eqns
    )  # fmt: skip


@pytest.mark.parametrize(
    ("function", "fewer"),
    [(qkv, 2), (chunks, 2), (uneven, 2), (each, 7), (overlapping, 1), (crossing, 1), (also_whole, 0)],
)
def test_gradients_of_views_of_one_tensor(
    function: Callable[[Any], Any], fewer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noting(closed: Any) -> Any:
        made = joined(closed)
        seen.append(_sums(closed) - _sums(made))
        return made

    monkeypatch.setattr(capture, "joined", noting)
    fb.manual_seed(0)
    x = fb.randn(6, 8, 12, requires_grad=True)

    def gradient(x: Any) -> Any:
        return fb.autograd.grad(function(x), x)[0]

    compiled = fb.compile(gradient, fullgraph=True)
    for _ in range(2):
        fb.testing.assert_close(compiled(x), gradient(x))
    assert set(seen) == {fewer}


def _run(function: Callable[..., Any], *arrays: Any) -> tuple[Any, Any, int]:
    closed = jax.make_jaxpr(function)(*arrays)
    made = joined(closed)
    values = [jax.core.eval_jaxpr(c.jaxpr, c.consts, *arrays)[0] for c in (closed, made)]
    return values[0], values[1], _sums(closed) - _sums(made)


def _placed(part: Any, start: int, background: float = 0.0) -> Any:
    return lax.dynamic_update_slice(jnp.full((24, 24), background, part.dtype), part, (start, 0))


a, b = jnp.ones((12, 24), np.float32), jnp.full((12, 24), 2, np.float32)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda a, b: _placed(a, 0) + _placed(b, 6), id="they overlap"),
        pytest.param(lambda a, b: _placed(a, 2) + _placed(b, 20), id="the second start is moved to where it fits"),
        pytest.param(lambda a, b: _placed(a, 0, 1.0) + _placed(b, 12), id="not of zeros"),
        pytest.param(lambda a, b: (y := _placed(a, 0)) + y, id="one value twice"),
        pytest.param(lambda a, b: (y := _placed(b, 12)) * ((z := _placed(a, 0)) + y) + z, id="both are used elsewhere"),
        pytest.param(
            lambda a, b: _placed(a, 0).reshape(12, 48) + _placed(b, 12).T.reshape(12, 48), id="the second one is turned"
        ),
    ],
)
def test_sums_that_stay_sums(function: Callable[..., Any]) -> None:
    before, after, fewer = _run(function, a, b)
    np.testing.assert_array_equal(before, after)
    assert fewer == 0


def test_shapes_that_differ_between_the_write_and_the_sum() -> None:
    def function(a: Any, b: Any) -> Any:
        first, second = _placed(a, 0).reshape(4, 6, 24).reshape(576), _placed(b, 12).reshape(576)
        return second + first

    before, after, fewer = _run(function, a, b)
    np.testing.assert_array_equal(before, after)
    assert fewer == 1
