"""The pieces of `split`, `chunk` and `unbind`: outputs of one node, in both libraries; hooks of nodes that gradients are asked for at."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import flambeau
from support.programs import agree

CUTS: dict[str, Any] = {
    "unbind": lambda t, x: x.view(3, 2).unbind(0),
    "unbind of columns": lambda t, x: t.unbind(x.view(2, 3), 1),
    "split": lambda t, x: x.split(4),
    "sections": lambda t, x: x.split([1, 2, 3]),
    "chunk": lambda t, x: x.view(2, 3).chunk(2, 1),
    "tensor_split": lambda t, x: x.tensor_split(2),
    "hsplit": lambda t, x: t.hsplit(x, 3),
    "one piece": lambda t, x: x.split(6),
    "rows": lambda t, x: list(x.view(3, 2)),
    "of a view": lambda t, x: (x * 2)[1:5].split(2),
}


def leaf(t: Any) -> Any:
    return t.arange(6.0, dtype=t.float64).requires_grad_()


def about(t: Any, cut: Any) -> Any:
    x = leaf(t)
    pieces = cut(t, x)
    seen: list[Any] = []
    node = pieces[0].grad_fn
    node.register_prehook(lambda go: seen.append([g is None for g in go]))
    node.register_hook(lambda gi, go: seen.append(([g.tolist() for g in gi], [g is None for g in go])))
    last = pieces[-1] * 3
    last.sum().backward(retain_graph=True)
    once = x.grad.tolist()
    x.grad = None
    (pieces[0] ** 2).sum().backward(create_graph=True)
    (second,) = t.autograd.grad(x.grad.pow(2).sum(), x)
    return (
        [(p.grad_fn.name(), p.output_nr, p.grad_fn is node) for p in pieces],
        [(n.name(), i) for n, i in last.grad_fn.next_functions if n is not None], once, second.tolist(), seen[:2],
    )  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph")
def test_pieces(name: str) -> None:
    assert about(flambeau, CUTS[name]) == about(torch, CUTS[name])


@pytest.mark.parametrize("name", CUTS)
def test_pieces_are_written_to(name: str) -> None:
    def write(t: Any) -> Any:
        x = leaf(t)
        y = x * 1
        pieces = CUTS[name](t, y)
        pieces[0].mul_(2)
        y.sum().backward()
        return x.grad.tolist()

    agree(write)


def test_pieces_of_what_is_written_to() -> None:
    def use(t: Any) -> Any:
        y = leaf(t) * 1
        pieces = y.split(2)
        y.mul_(2)
        return pieces[0] * 2

    agree(use)


def at(t: Any, hooked: str, asked: list[str], way: str) -> Any:
    x = leaf(t)
    y = x * 2
    w = y + 1
    z = w * 3
    named, seen = {"x": x, "y": y, "w": w, "z": z}, []
    node = named[hooked].grad_fn
    node.register_prehook(lambda go: (seen.append("pre"), (go[0] * 10,))[1])
    node.register_hook(lambda gi, go: seen.append(("post", [g is None for g in gi])))
    named[hooked].register_hook(lambda g: seen.append("tensor"))
    targets = [named[name] for name in asked]
    if way == "grad":
        return seen, [g.tolist() for g in t.autograd.grad(z.sum(), targets)]
    if way == "kept":
        named[hooked].retain_grad()
    z.sum().backward(inputs=targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            seen,
            {name: v.grad.tolist() for name, v in named.items() if v.grad is not None},
            [v.retains_grad for v in targets],
        )


@pytest.mark.parametrize("way", ["grad", "backward", "kept"])
@pytest.mark.parametrize("hooked", ["y", "w", "z"])
@pytest.mark.parametrize("asked", [["y"], ["w"], ["z"], ["x"], ["y", "x"], ["y", "z"], ["w", "x"]], ids="-".join)
def test_hooks_where_gradients_are_asked_for(hooked: str, asked: list[str], way: str) -> None:
    assert at(flambeau, hooked, asked, way) == at(torch, hooked, asked, way)
