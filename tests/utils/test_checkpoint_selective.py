"""Selective checkpointing: policies, their operators, and what is kept and computed again."""

from __future__ import annotations

import functools
import gc
from typing import Any

import jax
import pytest

import flambeau as fb
import flambeau.utils.checkpoint
from support.programs import agree


def selected(t: Any, policy: Any, function: Any, *args: Any) -> Any:
    checkpoint = t.utils.checkpoint
    contexts = functools.partial(checkpoint.create_selective_checkpoint_contexts, policy)
    return checkpoint.checkpoint(function, *args, use_reentrant=False, context_fn=contexts)


def policies(t: Any) -> list[Any]:
    kinds, mm = t.utils.checkpoint.CheckpointPolicy, t.ops.aten.mm.default
    return [
        [mm],
        [mm, t.ops.aten.sin.default],
        lambda told, op, *args, **kwargs: op == mm,
        lambda told, op, *args, **kwargs: kinds.MUST_SAVE if op in {mm} else kinds.PREFER_RECOMPUTE,
        lambda told, op, *args, **kwargs: kinds.MUST_RECOMPUTE,
        lambda told, op, *args, **kwargs: kinds.PREFER_SAVE,
    ]


@pytest.mark.parametrize("number", range(6))
def test_gradients(number: int) -> None:
    def program(t: Any) -> Any:
        w = t.full((2, 2), 0.5, dtype=t.float64, requires_grad=True)
        x = t.ones(2, 2, dtype=t.float64, requires_grad=True)
        y = selected(t, policies(t)[number], lambda a: t.mm(t.mm(a, w).sin(), w).exp(), x)
        y.sum().backward()
        return y, x.grad, w.grad

    agree(program)


@pytest.mark.parametrize("kind", ["linear", "no bias", "matmul", "vector", "batches", "conv", "attention", "norm"])
def test_operators_are_pytorchs(kind: str) -> None:
    """What a policy sees of a layer is, views left out, what it sees there."""

    def program(t: Any) -> Any:
        F = t.nn.functional
        x, w, b = t.ones(2, 4, requires_grad=True), t.ones(4, 4, requires_grad=True), t.ones(4)
        kernel = t.ones(1, 1, 2, 2)
        heads, image = t.ones(1, 2, 3, 4, requires_grad=True), t.ones(1, 1, 4, 4, requires_grad=True)
        function, given = {
            "linear": (lambda a: F.linear(a, w, b).sin(), x),
            "no bias": (lambda a: F.linear(a, w).cos(), x),
            "matmul": (lambda a: (a @ w).relu(), x),
            "vector": (lambda a: a @ b, x),
            "batches": (lambda a: a @ w, heads),
            "conv": (lambda a: F.conv2d(a, kernel), image),
            "attention": (lambda a: F.scaled_dot_product_attention(a, a, a), heads),
            "norm": (lambda a: F.layer_norm(a, (4,)).softmax(-1) * 2 + 1, x),
        }[kind]
        seen = []

        def policy(told: Any, op: Any, *args: Any, **kwargs: Any) -> bool:
            if not told.is_recompute and not any(
                v in str(op) for v in ("view", ".t.", "transpose", "expand", "select")
            ):
                seen.append(str(op))
            return False

        selected(t, policy, function, given).sum().backward()
        return seen

    agree(program)


def test_operators_have_an_identity() -> None:
    def program(t: Any) -> Any:
        aten = t.ops.aten
        told = [str(op) for op in (aten.mm, aten.mm.default, aten.add.Tensor)] + [repr(aten.mm.default)]
        told += [aten.mm.default.name(), aten.add.Tensor.name(), aten.mm.default.__name__, aten.mm.default.namespace]
        same = (
            aten.mm.default is aten.mm.default,
            aten.mm.default == aten.bmm.default,
            len({aten.mm.default} | {aten.mm.default}),
        )
        return told, same, aten.mm.default(t.ones(2, 2), t.ones(2, 2)), aten.add.Tensor(t.ones(1), 2)

    agree(program)


@pytest.mark.parametrize("given", ["function", "packet", "number", "missing"])
def test_refusals(given: str) -> None:
    def program(t: Any) -> Any:
        if given == "missing":
            return t.ops.aten.nonsense
        value = {"function": [t.sin], "packet": [t.ops.aten.mm], "number": 3}[given]
        return t.utils.checkpoint.create_selective_checkpoint_contexts(value)

    agree(program, words=10 if given != "function" else 8)


def test_what_is_kept() -> None:
    """A kept result is held from the forward pass on; if all that is needed is kept, nothing is computed again."""
    x = fb.ones(64, 64, requires_grad=True)
    w = fb.ones(64, 64, requires_grad=True)
    size, calls = 64 * 64 * 4, [0]

    def function(a: Any) -> Any:
        calls[0] += 1
        return fb.mm(fb.mm(a, w).sin(), w).exp()

    def run(policy: Any) -> tuple[int, int]:
        gc.collect()
        before, calls[0] = sum(a.nbytes for a in jax.live_arrays()), 0
        y = selected(fb, policy, function, x)
        gc.collect()
        kept = sum(a.nbytes for a in jax.live_arrays()) - before
        y.backward(fb.ones(64, 64))
        return kept // size, calls[0]

    run([])
    assert run([]) == (1, 2)
    assert run([fb.ops.aten.mm.default]) == (3, 2)
    assert run(lambda told, op, *args: op in (fb.ops.aten.mm.default, fb.ops.aten.sin.default)) == (
        4,
        2,
    )  # x and w are not


def test_in_a_compiled_step() -> None:
    x, w = fb.ones(4, 4, requires_grad=True), fb.full((4, 4), 0.1, requires_grad=True)

    def loss(a: Any) -> Any:
        return selected(fb, [fb.ops.aten.mm.default], lambda v: fb.mm(v.sin(), w).exp(), a).sum()

    loss(x).backward()
    wanted = x.grad, w.grad
    x.grad = w.grad = None
    fb.compile(loss)(x).backward()
    assert fb.allclose(x.grad, wanted[0]) and fb.allclose(w.grad, wanted[1])
