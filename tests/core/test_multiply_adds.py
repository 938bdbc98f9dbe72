"""Multiply-adds of operators and of their gradients, against torch's flop counter (which counts two for each)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

import flambeau as fb
from flambeau.core.dispatch.multiply_adds import of_backward, of_call

# for each the shapes of its arguments, and which of them need a gradient
CASES: dict[str, tuple[Any, list[tuple[int, ...]], list[int]]] = {
    "mm": (lambda F, a, b: a.mm(b), [(3, 4), (4, 5)], [0, 1]),
    "mm, by one": (lambda F, a, b: a.mm(b), [(3, 4), (4, 5)], [1]),
    "addmm": (lambda F, c, a, b: c.addmm(a, b), [(5,), (3, 4), (4, 5)], [0, 1, 2]),
    "bmm": (lambda F, a, b: a.bmm(b), [(2, 3, 4), (2, 4, 5)], [0, 1]),
    "baddbmm": (lambda F, c, a, b: c.baddbmm(a, b), [(2, 3, 5), (2, 3, 4), (2, 4, 5)], [0, 1, 2]),
    "matmul": (lambda F, a, b: a @ b, [(2, 3, 4), (4, 5)], [0, 1]),
    "linear": (lambda F, x, w, b: F.linear(x, w, b), [(2, 3, 4), (5, 4), (5,)], [0, 1, 2]),
    "conv1d": (lambda F, x, w, b: F.conv1d(x, w, b), [(2, 4, 8), (6, 4, 3), (6,)], [0, 1, 2]),
    "conv2d": (lambda F, x, w: F.conv2d(x, w, stride=2, padding=1), [(2, 4, 8, 8), (6, 4, 3, 3)], [0, 1]),
    "conv2d, by the weight": (lambda F, x, w: F.conv2d(x, w), [(2, 4, 8, 8), (6, 4, 3, 3)], [1]),
    "transposed": (lambda F, x, w: F.conv_transpose2d(x, w, stride=2), [(2, 4, 5, 5), (4, 3, 3, 3)], [0, 1]),
}


def theirs(function: Any, shapes: Any, wanted: Any) -> tuple[int, int]:
    arguments = [torch.randn(s, requires_grad=i in wanted) for i, s in enumerate(shapes)]
    counter = FlopCounterMode(display=False)
    with counter:
        made = function(torch.nn.functional, *arguments)
    forward = counter.get_total_flops()
    with counter:
        made.sum().backward()
    return forward // 2, counter.get_total_flops() // 2


@pytest.mark.parametrize("name", CASES)
def test_as_torchs_counter_has_it(name: str) -> None:
    function, shapes, wanted = CASES[name]
    arguments = [fb.randn(*s, requires_grad=i in wanted) for i, s in enumerate(shapes)]
    made = function(fb.nn.functional, *arguments)
    node, _ = made._edge
    assert (of_call(function, fb.nn.functional, *arguments), of_backward(node)) == theirs(function, shapes, wanted)


def test_groups_need_their_own_channels_only() -> None:
    x, w = fb.randn(2, 4, 8, 8, requires_grad=True), fb.randn(6, 2, 3, 3, requires_grad=True)
    made = fb.nn.functional.conv2d(x, w, groups=2)
    each = 2 * 6 * 6 * 6 * 2 * 9
    assert of_call(fb.nn.functional.conv2d, x, w, groups=2) == each
    assert of_backward(made._edge[0]) == 2 * each


def test_attention_makes_its_scores_anew_for_the_gradients_as_torchs_formula_has_it() -> None:
    shapes = [(2, 3, 6, 8), (2, 3, 7, 8), (2, 3, 7, 4)]
    attend = fb.nn.functional.scaled_dot_product_attention
    arguments = [fb.randn(*s, requires_grad=True) for s in shapes]
    made = attend(*arguments)
    assert 2 * of_call(attend, *arguments) == sdpa_flop_count(*shapes)
    assert 2 * of_backward(made._edge[0]) == sdpa_backward_flop_count(tuple(made.shape), *shapes)
