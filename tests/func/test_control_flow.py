"""cond, while_loop, scan, associative_scan, map: as torch has them, and compiled; rearrange."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
import flambeau._higher_order_ops
import flambeau.func
import flambeau.nn
from flambeau.core.tensor.tree import flatten
from support.programs import agree


def higher(t: Any) -> Any:
    return t._higher_order_ops


def x_of(t: Any) -> Any:
    return t.tensor([1.0, 2.0, 3.0])


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "cond": lambda t, x: t.cond(x.sum() > 4, lambda a: a.cos(), lambda a: a.sin(), (x,)),
    "cond, the other way": lambda t, x: t.cond(x.sum() > 40, lambda a: a.cos(), lambda a: a.sin(), (x,)),
    "cond of tuples": lambda t, x: t.cond(x[0] > 4, lambda a, b: (a + b, a), lambda a, b: (a - b, b * 2), (x, x + 1))[
        0
    ],
    "while_loop": lambda t, x: higher(t).while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 2), (t.tensor(0), x)),
    "scan": lambda t, x: higher(t).scan(lambda c, a: (c + a, c * a), t.zeros(()), x),
    "scan, reversed": lambda t, x: higher(t).scan(lambda c, a: (c + a, c * a), t.zeros(()), x, reverse=True),
    "scan of columns": lambda t, x: higher(t).scan(
        lambda c, a: (c + a, c * a), t.zeros(2), t.arange(6.0).reshape(2, 3), dim=1
    ),
    "associative_scan": lambda t, x: higher(t).associative_scan(lambda a, b: a * b, x, 0, combine_mode="generic"),
    "associative_scan, reversed": lambda t, x: higher(t).associative_scan(
        lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1]), (x, x + 1), 0, reverse=True, combine_mode="generic"
    ),
    "map": lambda t, x: (
        higher(t).map.map(lambda a, b: a * b, x, t.tensor(2.0))
        if t is not fb
        else fb._higher_order_ops.map(lambda a, b: a * b, x, fb.tensor(2.0))
    ),
}
KNOWN = {
    "cond": [0.5403, -0.4161, -0.99],
    "while_loop": [3, [8, 16, 24]],
    "scan": [6, [0, 2, 9]],
    "scan, reversed": [6, [5, 6, 0]],
    "associative_scan": [1, 2, 6],
    "map": [2, 4, 6],
}


def values(result: Any) -> Any:
    return [np.asarray(v.detach()) for v in flatten(result)[0]]


@pytest.mark.parametrize("kind", PROGRAMS)
def test_compiled_and_not(kind: str) -> None:
    x = x_of(fb)
    plain = PROGRAMS[kind](fb, x)
    if kind in KNOWN:
        expected = KNOWN[kind] if isinstance(plain, (tuple, list)) else [KNOWN[kind]]
        for mine, known in zip(values(plain), expected, strict=True):
            np.testing.assert_allclose(mine, known, atol=1e-4)
    compiled = fb.compile(lambda x: PROGRAMS[kind](fb, x), fullgraph=True)
    for _ in range(2):
        for a, b in zip(values(compiled(x)), values(plain), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_only_one_branch_counts_for_gradients() -> None:
    def program(x: Any) -> Any:
        y = x.clone().requires_grad_()
        out = fb.cond(y.sum() > 4, lambda a: a**2, lambda a: (a - 1).log(), (y,))  # whose gradient is infinite at 1
        return fb.autograd.grad(out.sum(), y)[0]

    x = x_of(fb)
    assert program(x).tolist() == [2, 4, 6]
    assert fb.compile(program, fullgraph=True)(x).tolist() == [2, 4, 6]
    y = x.clone().requires_grad_()
    fb.compile(lambda y: fb.cond(y.sum() > 4, lambda a: a**2, lambda a: a.sqrt(), (y,)).sum(), fullgraph=True)(
        y
    ).backward()
    assert y.grad is not None and y.grad.tolist() == [2, 4, 6]


def test_gradient_of_a_scan() -> None:
    def program(x: Any) -> Any:
        y = x.clone().requires_grad_()
        _, out = fb._higher_order_ops.scan(lambda c, a: (c + a, c * a), fb.zeros(()), y)
        return fb.autograd.grad(out.sum(), y)[0]

    assert program(x_of(fb)).tolist() == fb.compile(program, fullgraph=True)(x_of(fb)).tolist() == [5, 4, 3]


def test_captured_constants_are_compiled() -> None:
    weight = fb.ones(3)
    compiled = fb.compile(
        lambda x: fb.cond(x.sum() > 4, lambda a: a * weight, lambda a: a + weight, (x,)), fullgraph=True
    )
    assert compiled(x_of(fb)).tolist() == [1, 2, 3] and compiled(-x_of(fb)).tolist() == [0, -1, -2]
    weight.fill_(2)
    assert compiled(x_of(fb)).tolist() == [2, 4, 6]


REFUSED: dict[str, Callable[[Any], Any]] = {
    "random": lambda x: fb.cond(x.sum() > 4, lambda a: a + fb.rand(3), lambda a: a * 1, (x,)),
    "write": lambda x: fb.cond(x.sum() > 4, lambda a: BUFFER.add_(a).clone(), lambda a: a * 1, (x,)),
    "parameter": lambda x: fb.cond(x.sum() > 4, lambda a: a * WEIGHT, lambda a: a * 1, (x,)),
    "index": lambda x: fb.cond(x.sum() > 4, lambda a: a[a.long() - 1], lambda a: a * 1, (x,)),
}
BUFFER = fb.zeros(3)
WEIGHT = fb.nn.Parameter(fb.full((3,), 2.0))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_compiled_runs_as_it_stands(kind: str) -> None:
    BUFFER.zero_()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fb.manual_seed(0)
        compiled = fb.compile(REFUSED[kind])(x_of(fb))
    assert any("runs uncompiled" in str(w.message) for w in caught)
    BUFFER.zero_()
    fb.manual_seed(0)
    plain = REFUSED[kind](x_of(fb))
    assert compiled.tolist() == plain.tolist() and compiled.requires_grad == plain.requires_grad


ERRORS: list[Callable[[Any, Any], Any]] = [
    lambda t, x: t.cond(x > 1, lambda a: a.cos(), lambda a: a.sin(), (x,)),
    lambda t, x: t.cond(x.sum() > 1, 3, lambda a: a.sin(), (x,)),
    lambda t, x: t.cond(x.sum() > 1, lambda a: a * 1, lambda a: a.sin(), x),
    lambda t, x: higher(t).scan(3, x[0], x),
    lambda t, x: higher(t).associative_scan(3, x, 0),
    lambda t, x: higher(t).associative_scan(lambda a, b: a, x, 0),
    lambda t, x: higher(t).associative_scan(lambda a, b: a, x, 0, combine_mode="some"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_errors(number: int) -> None:
    agree(lambda t: ERRORS[number](t, x_of(t)))


PATTERNS: list[tuple[tuple[int, ...], str, dict[str, int]]] = [
    ((2, 3), "a b -> b a", {}),
    ((2, 3, 4), "a b c -> a (b c)", {}),
    ((2, 12), "a (b c) -> b a c", {"b": 3}),
    ((2, 3, 4), "a ... -> ... a", {}),
    ((2, 3, 4), "a ... -> (...) a", {}),
    ((2, 3, 4), "a b c -> (c a) b", {}),
    ((2, 3), "a b -> a c", {}),
    ((2, 3), "a b c -> a b c", {}),
    ((2, 3), "a b - a b", {}),
    ((2, 3), "a a -> a", {}),
    ((2, 3), "a b -> b", {}),
]


@pytest.mark.parametrize("number", range(len(PATTERNS)))
def test_rearrange(number: int) -> None:
    shape, pattern, sizes = PATTERNS[number]
    agree(lambda t: t.func.rearrange(t.arange(int(np.prod(shape))).reshape(shape), pattern, **sizes), words=4)


def test_rearrange_refuses_sizes() -> None:
    with pytest.raises(RuntimeError, match="cannot infer the sizes of two dimensions at once b and c"):
        fb.func.rearrange(fb.ones(2, 6), "a (b c) -> a b c")
    with pytest.raises(RuntimeError, match="inferred dimension does not evenly fit into larger dimension: 3 vs"):
        fb.func.rearrange(fb.ones(2, 3), "a (b c) -> a b c", b=2)


def test_debug_unwrap() -> None:
    seen: list[Any] = []
    x = x_of(fb)
    fb.vmap(lambda a: seen.append(fb.func.debug_unwrap(a).tolist()) or a)(x)
    fb.func.jvp(lambda a: seen.append(fb.func.debug_unwrap(a).tolist()) or a, (x,), (x,))
    assert seen == [[1, 2, 3]] * 2 and fb.func.debug_unwrap(x) is x


def test_the_place_that_cond_and_map_once_had() -> None:
    from flambeau.functorch.experimental import control_flow

    x = fb.arange(3.0)
    assert control_flow.map(lambda row, y: row + y, x, fb.ones(1)).flatten().tolist() == [1, 2, 3]
    assert control_flow.cond is fb.cond
