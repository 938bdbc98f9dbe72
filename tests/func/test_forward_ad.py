"""Levels of forward_ad: every operator's derivative, what is left when a level ends, detach under transforms."""

from __future__ import annotations

import gc
from typing import Any

import jax
import numpy as np
import pytest
import torch
import torch.autograd.forward_ad as their_forward
from torch.utils import _pytree

import flambeau as fb
import flambeau.autograd.forward_ad as our_forward
import flambeau.func
import flambeau.nn
from flambeau.core.tensor.storage import Storage
from support import op_database
from support.programs import outcome

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own
KEYS = [k for k in op_database.known() if op_database.op_infos()[k].supports_forward_ad]
FEW = KEYS[::25]  # the ordinary run
# torch has zeros where nothing depends on the inputs; eigenvectors are told but for a factor of absolute value 1
LEFT_OUT = {"bernoulli", "linalg.eig", "linalg.eigh", "pca_lowrank", "svd_lowrank"}


def tensors_of(sample: Any) -> list[torch.Tensor]:
    every = op_database.flat([sample.input, sample.args, sample.kwargs])
    return [t for t in every if isinstance(t, torch.Tensor) and t.requires_grad]


def derivatives(case: Any, ours: bool) -> list[Any]:
    """What each result has, where every input that may have a gradient has a tangent."""
    forward = our_forward if ours else their_forward
    sample, duals = case.sample, {}
    generator = torch.Generator().manual_seed(1)
    to = op_database.convert if ours else (lambda x: x)
    function = op_database.ours(case.key) if ours else case.info.op
    with forward.dual_level():
        for t in tensors_of(sample):
            if id(t) not in duals:
                tangent = torch.randn(t.shape, generator=generator, dtype=t.dtype)
                duals[id(t)] = forward.make_dual(to(t.detach().clone()), to(tangent))
        leaves = lambda x: isinstance(x, (torch.Tensor, fb.Tensor))  # noqa: E731
        put = lambda x: duals[id(x)] if id(x) in duals else to(x)  # noqa: E731
        args, kwargs = _pytree.tree_map(put, ((sample.input, *sample.args), sample.kwargs), is_leaf=leaves)
        out = op_database.flat(op_database.seeded(lambda: case.wrapped(function, *args, **kwargs)))
        return [forward.unpack_dual(o).tangent for o in out if leaves(o)]


def compare(key: str, count: int) -> None:
    cases = op_database.cases(key, torch.float64, 20)
    chosen = [c for c in cases if c.convertible() and tensors_of(c.sample)]
    chosen = [c for c in chosen if not any(map(c.known, ("forward", "gradient", "values", "signs")))]
    for case in chosen[:: max(1, len(chosen) // count)][:count]:
        try:
            theirs = derivatives(case, False)
        except (RuntimeError, NotImplementedError):
            continue  # torch has none for this sample
        for mine, their in zip(derivatives(case, True), theirs, strict=True):
            if mine is None or their is None:  # zeros either way
                assert not np.any(op_database.to_numpy(their if mine is None else mine)) if mine is not their else True
            else:
                wrong = op_database.difference(mine, their, key)
                assert wrong is None, f"{op_database.show(case.sample)}: {wrong}"


@pytest.mark.parametrize("key", [k for k in FEW if k not in LEFT_OUT])
def test_derivatives_of_some_operators(key: str) -> None:
    compare(key, 1)


@pytest.mark.slow
@pytest.mark.parametrize("key", [k for k in KEYS if k not in LEFT_OUT])
def test_derivatives_of_every_operator(key: str) -> None:
    compare(key, 4)


def test_nothing_of_a_level_is_left() -> None:
    class Keeping(fb.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            return x.sin()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx: Any, tangent: Any) -> Any:
            return tangent * ctx.saved_tensors[0].cos()

    def traced() -> list[Any]:
        return [o for o in gc.get_objects() if type(o) is Storage and isinstance(o.value, jax.core.Tracer)]

    gc.collect()  # what other tests have left in cycles
    before = traced()
    x = fb.tensor([1.0, 2.0], requires_grad=True)
    buffer = fb.zeros(2)
    with our_forward.dual_level():
        dual = our_forward.make_dual(x, fb.ones(2))
        view = (dual * 2)[1:]
        buffer.add_(dual.detach()).add_(dual)
        total = (dual**2).sum() + Keeping.apply(dual).sum()
        mapped = fb.vmap(lambda a: a * a)(dual)
        detached = dual.detach()
    assert not [o for o in traced() if not any(o is b for b in before)]
    assert view.tolist() == [4] and buffer.tolist() == [2, 4] and detached.tolist() == [1, 2]
    (total + mapped.sum()).backward()
    np.testing.assert_allclose(x.grad, 4 * np.array([1.0, 2.0]) + np.cos([1.0, 2.0]), rtol=1e-6)


DETACHED = {
    "detach": lambda t, x: x.detach() * x,
    "data": lambda t, x: x.data * x,
    "written in place": lambda t, x: x.clone().detach().mul_(x),
    "base of what was written": lambda t, x: [y := x.clone(), y.detach().mul_(2)][0],
    "view": lambda t, x: x.detach()[1:] * x[1:],
    "straight through": lambda t, x: x + (x.round() - x).detach(),
}


@pytest.mark.parametrize("kind", DETACHED)
def test_detach_takes_the_derivative_away(kind: str) -> None:
    def program(t: Any) -> Any:
        x, v = t.tensor([1.2, 2.0]), t.tensor([1.0, 0.5])
        return t.func.jvp(lambda x: DETACHED[kind](t, x), (x,), (v,))

    ours, theirs = outcome(fb, program), outcome(torch, program)
    assert ours.error is None and ours.value == theirs.value


def test_detach_in_a_pure_function() -> None:
    class Half(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = fb.nn.Parameter(fb.tensor([3.0]))

        def forward(self, x: Any) -> Any:
            return (self.w.detach() * self.w * x).sum()

    function, params = fb.jax_function(Half())
    assert jax.grad(lambda p: function(p, jax.numpy.ones(1)))(params)["w"].tolist() == [3]


def test_a_level_in_a_compiled_function_runs_uncompiled() -> None:
    def tangent(x: Any) -> Any:
        with our_forward.dual_level():
            return our_forward.unpack_dual(our_forward.make_dual(x, fb.ones(2)) ** 2).tangent

    with pytest.warns(UserWarning, match="dual_level"):
        assert fb.compile(tangent)(fb.tensor([1.0, 2.0])).tolist() == [2, 4]
    assert our_forward.unpack_dual(fb.ones(1)).tangent is None


class Wrong:
    """A Function whose jvp is not its derivative."""

    def __new__(cls, t: Any) -> Any:
        class Twice(t.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:
                return grad * 2

            @staticmethod
            def jvp(ctx: Any, tangent: Any) -> Any:
                return tangent * 3

        return Twice.apply


CHECKS = {
    "right": lambda t, x: t.autograd.gradcheck(lambda a: (a * a.exp(), a.sum()), (x,), check_forward_ad=True),
    "complex": lambda t, x: t.autograd.gradcheck(
        lambda a: a * a.conj() + a.exp(), (t.complex(x, x).detach().requires_grad_(),), check_forward_ad=True
    ),
    "wrong": lambda t, x: t.autograd.gradcheck(Wrong(t), (x,), check_forward_ad=True),
    "wrong, not asked": lambda t, x: t.autograd.gradcheck(Wrong(t), (x,)),
    "forward only": lambda t, x: t.autograd.gradcheck(
        Wrong(t), (x,), check_forward_ad=True, check_backward_ad=False, raise_exception=False
    ),
    "over reverse": lambda t, x: t.autograd.gradgradcheck(lambda a: Wrong(t)(a) ** 2, (x,), check_fwd_over_rev=True),
    "second": lambda t, x: t.autograd.gradgradcheck(lambda a: a.exp() * a.sum(), (x,), check_fwd_over_rev=True),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_gradcheck_looks_at_forward_mode(kind: str) -> None:
    def program(t: Any) -> Any:
        return CHECKS[kind](t, t.tensor([0.3, 1.2], dtype=t.float64, requires_grad=True))

    ours, theirs = outcome(fb, program), outcome(torch, program)
    assert str(ours.error)[:60] == str(theirs.error)[:60] and ours.value == theirs.value
