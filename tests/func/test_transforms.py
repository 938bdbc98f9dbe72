"""Derivatives and maps of functions, against torch.func: the same code, the same numbers."""

from __future__ import annotations

import collections

import pytest
import torch
import torch.func

import flambeau as fb
import flambeau.func
from support.values import same

pytestmark = [  # what torch warns of itself in its jvp and linearize
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert:UserWarning"),
]

Pair = collections.namedtuple("Pair", "a b")


def both(code, **tolerance):
    """Compare what `code(library, tensors x, y, W, B)` gives, values and requires_grad."""
    made = []
    for library in (torch, fb):
        library.manual_seed(0)
        double = {"dtype": library.float64}
        x, y = library.randn(3, **double), library.randn(3, **double)
        made.append(code(library, x, y, library.randn(4, 3, **double), library.randn(5, 3, **double)))
    theirs, ours = made
    same(ours, theirs, **tolerance)
    flat_theirs, flat_ours = (torch.utils._pytree.tree_leaves(t) for t in (theirs, ours))
    wanting = [[t.requires_grad for t in flat if hasattr(t, "requires_grad")] for flat in (flat_theirs, flat_ours)]
    assert wanting[0] == wanting[1]


def cube(x):
    return (x**3).sum()


REVERSE = {
    "grad": lambda t, x, y, W, B: t.func.grad(cube)(x),
    "twice": lambda t, x, y, W, B: t.func.grad(lambda x: t.func.grad(cube)(x).sin().sum())(x),
    "three times": lambda t, x, y, W, B: t.func.grad(t.func.grad(t.func.grad(lambda x: x.sin() * x)))(x[0]),
    "second": lambda t, x, y, W, B: t.func.grad(lambda x, y: (x * y * y).sum(), argnums=1)(x, y),
    "last": lambda t, x, y, W, B: t.func.grad(lambda x, y: (x * y * y).sum(), argnums=-1)(x, y),
    "several": lambda t, x, y, W, B: t.func.grad(lambda x, y: (x * y * y).sum(), argnums=(1, 0))(x, y),
    "dict": lambda t, x, y, W, B: t.func.grad(lambda d: (d["b"] * d["a"] ** 2).sum())({"b": x, "a": y}),
    "nested": lambda t, x, y, W, B: t.func.grad(lambda d: (d[0] * d[1]["a"] ** 2).sum())([x, {"a": y}]),
    "unused": lambda t, x, y, W, B: t.func.grad(lambda x, y: x.sum(), argnums=(0, 1))(x, y),
    "value": lambda t, x, y, W, B: t.func.grad_and_value(cube)(x),
    "aux": lambda t, x, y, W, B: t.func.grad(lambda x: (cube(x), {"x": x * 2}), has_aux=True)(x),
    "value and aux": lambda t, x, y, W, B: t.func.grad_and_value(lambda x: (cube(x), [x]), has_aux=True)(x),
    "keywords": lambda t, x, y, W, B: t.func.grad(lambda x, *, k: (x * x * k).sum())(x, k=y),
    "integer result": lambda t, x, y, W, B: t.func.grad(lambda x: x.sum().long())(x),
    "complex": lambda t, x, y, W, B: t.func.grad(lambda z: (z * z.conj() * z).sum().real)(t.complex(x, y)),
    "inner write": lambda t, x, y, W, B: t.func.grad(lambda x: (x * 2).add_(y).mul_(x).sum())(x),
    "inner slice": lambda t, x, y, W, B: t.func.grad(lambda x: _sliced(x, y))(x),
    "autograd inside": lambda t, x, y, W, B: t.func.grad(
        lambda x: t.autograd.grad(cube(x), x, create_graph=True)[0].sum()
    )(x),
    "flags inside": lambda t, x, y, W, B: t.func.grad(lambda x: (x * (2.0 if x.requires_grad else 3.0)).sum())(x),
    "value in Python": lambda t, x, y, W, B: t.func.grad(lambda x: x.sum() * x.sum().item() if x[0] > -9 else x[0])(x),
    "no_grad outside": lambda t, x, y, W, B: _without(t, lambda: t.func.grad(cube)(x)),
    "no_grad inside": lambda t, x, y, W, B: t.func.grad(lambda x: (_without(t, lambda: x * x) * x).sum())(x),
    "vjp": lambda t, x, y, W, B: t.func.vjp(t.sin, x)[1](y),
    "vjp tree": lambda t, x, y, W, B: _pulled(
        t.func.vjp(lambda x, y: {"b": x * y, "a": x.sin()}, x, y), {"b": x, "a": y}
    ),
    "vjp aux": lambda t, x, y, W, B: t.func.vjp(lambda x: (x.sin(), x * 2), x, has_aux=True)[2],
    "vjp of what is written": lambda t, x, y, W, B: t.func.vjp(lambda x: (x * 1).mul_(y), x)[1](y),
    "vjp of a written view": lambda t, x, y, W, B: t.func.vjp(lambda x: (x * 1)[1:].mul_(y[0]), x)[1](y[1:]),
    "vjp of several written": lambda t, x, y, W, B: t.func.vjp(lambda x: [(z := x * 2).mul_(y), z, z[0].sin_()], x)[1](
        [x, y, y[0]]
    ),
    "jacrev of what is written": lambda t, x, y, W, B: t.func.jacrev(lambda x: (W @ x).mul_(2).sin_())(x),
    "hessian of what is written": lambda t, x, y, W, B: t.func.jacrev(t.func.grad(lambda x: (x * x).mul_(x).sum()))(x),
    "vjp twice used": lambda t, x, y, W, B: [t.func.vjp(cube, x)[1](t.tensor(s, dtype=x.dtype)) for s in (1.0, 2.0)],
    "vjp of a list": lambda t, x, y, W, B: t.func.vjp(lambda p: p[0] * p[1], [x, y])[1](x),
    "grad of pull": lambda t, x, y, W, B: t.func.grad(lambda y: (t.func.vjp(t.sin, x)[1](y)[0] ** 2).sum())(y),
    "jacrev": lambda t, x, y, W, B: t.func.jacrev(lambda x: W @ x.sin())(x),
    "jacrev tree": lambda t, x, y, W, B: t.func.jacrev(
        lambda x, y: {"s": x.sum() * y, "p": (x * y)[:2]}, argnums=(0, 1)
    )(x, y),
    "jacrev aux": lambda t, x, y, W, B: t.func.jacrev(lambda x: (x.sin(), x.sum()), has_aux=True)(x),
    "jacrev chunks": lambda t, x, y, W, B: t.func.jacrev(lambda x: W @ x.sin(), chunk_size=3)(x),
    "jacrev dict": lambda t, x, y, W, B: t.func.jacrev(lambda d: d["b"] * d["a"])({"b": x, "a": y}),
    "jacrev twice": lambda t, x, y, W, B: t.func.jacrev(t.func.jacrev(lambda x: (W @ x).sin()))(x),
}

FORWARD = {
    "jvp": lambda t, x, y, W, B: t.func.jvp(t.sin, (x,), (y,)),
    "jvp tree": lambda t, x, y, W, B: t.func.jvp(lambda x, y: {"b": x * y, "a": (x, y)}, (x, y), (y, x)),
    "jvp aux": lambda t, x, y, W, B: t.func.jvp(lambda x: (x.sin(), x * 2), (x,), (y,), has_aux=True),
    "jvp of a constant": lambda t, x, y, W, B: t.func.jvp(lambda x: y * 2, (x,), (y,)),
    "jvp of sign": lambda t, x, y, W, B: t.func.jvp(lambda x: x.sign() * x.round(), (x,), (y,)),
    "jvp of jvp": lambda t, x, y, W, B: t.func.jvp(
        lambda x: t.func.jvp(lambda z: (z * x).sin(), (x,), (y,))[1], (x,), (y,)
    ),
    "jvp of grad": lambda t, x, y, W, B: t.func.jvp(t.func.grad(cube), (x,), (y,)),
    "grad of jvp": lambda t, x, y, W, B: t.func.grad(lambda x: t.func.jvp(lambda z: z.sin() * x, (x,), (y,))[1].sum())(
        x
    ),
    "grad of jvp by direction": lambda t, x, y, W, B: t.func.grad(
        lambda y: (t.func.jvp(lambda z: z.sin(), (x,), (y,))[1] ** 2).sum()
    )(y),
    "grad of grad of jvp": lambda t, x, y, W, B: t.func.grad(
        lambda v: t.func.grad(lambda x: (t.func.jvp(lambda z: z.sin() * x, (x,), (v,))[1] ** 2).sum())(x).sum()
    )(y),
    "values in Python": lambda t, x, y, W, B: t.func.jvp(lambda x: x * 2 if x.sum() > -99 else x, (x,), (y,)),
    "jacfwd": lambda t, x, y, W, B: t.func.jacfwd(lambda x: W @ x.sin())(x),
    "jacfwd tree": lambda t, x, y, W, B: t.func.jacfwd(
        lambda x, y: {"s": x.sum() * y, "p": (x * y)[:2]}, argnums=(0, 1)
    )(x, y),
    "jacfwd aux": lambda t, x, y, W, B: t.func.jacfwd(lambda x: (x.sin(), x.sum()), has_aux=True)(x),
    "hessian": lambda t, x, y, W, B: t.func.hessian(lambda x: (W @ x).sin().sum())(x),
    "hessian by two": lambda t, x, y, W, B: t.func.hessian(lambda x, y: (x * y.sin()).sum(), argnums=(0, 1))(x, y),
    "hessian of two": lambda t, x, y, W, B: t.func.hessian(lambda x: (cube(x), x.sin().prod()))(x),
    "rev of fwd": lambda t, x, y, W, B: t.func.jacrev(t.func.jacfwd(lambda x: (W @ x).sin()))(x),
    "fwd of fwd": lambda t, x, y, W, B: t.func.jacfwd(t.func.jacfwd(lambda x: (W @ x).sin()))(x),
    "linearize": lambda t, x, y, W, B: _linear(t.func.linearize(lambda x: (x.sin() * 2).cumsum(0), x), y, x),
}

MAPS = {
    "vmap": lambda t, x, y, W, B: t.vmap(t.sin)(W),
    "dot": lambda t, x, y, W, B: t.vmap(t.dot)(W, W * 2),
    "one for all": lambda t, x, y, W, B: t.vmap(t.dot, in_dims=(0, None))(W, x),
    "columns": lambda t, x, y, W, B: t.vmap(lambda c: c.cumsum(0), in_dims=1, out_dims=1)(W),
    "negative": lambda t, x, y, W, B: t.vmap(lambda c: c.cumsum(0), in_dims=-1, out_dims=-1)(W),
    "outer": lambda t, x, y, W, B: t.vmap(t.vmap(t.dot, (None, 0)), (0, None))(W, B),
    "tree": lambda t, x, y, W, B: t.vmap(lambda d: {"q": d["b"] @ d["a"], "p": d["a"]}, in_dims=({"b": 0, "a": None},))(
        {"b": W, "a": x}
    ),
    "prefix": lambda t, x, y, W, B: t.vmap(lambda p, q: (p[0] + p[1], q), in_dims=(0, None), out_dims=(1, None))(
        (W, W), x
    ),
    "number": lambda t, x, y, W, B: t.vmap(lambda x, k: x * k, in_dims=(0, None))(W, 2.0),
    "keywords": lambda t, x, y, W, B: t.vmap(lambda x, k: x * k)(W, k=y),
    "unmapped result": lambda t, x, y, W, B: t.vmap(lambda x: (x, y * 2), out_dims=(0, None))(W),
    "repeated result": lambda t, x, y, W, B: t.vmap(lambda x: y * 2)(W),
    "chunks": lambda t, x, y, W, B: t.vmap(lambda x, y: (x * y, x.sum()), in_dims=(0, None), chunk_size=3)(W, y),
    "chunks of columns": lambda t, x, y, W, B: t.vmap(lambda x: x * 2, in_dims=1, out_dims=1, chunk_size=2)(W),
    "empty": lambda t, x, y, W, B: t.vmap(lambda x: x.sum())(W[:0]),
    "per sample": lambda t, x, y, W, B: t.vmap(t.func.grad(lambda x, w: (w @ x).sin().sum()), (None, 0))(x, B),
    "grad of vmap": lambda t, x, y, W, B: t.func.grad(lambda x: (t.vmap(t.dot, (None, 0))(x, W) ** 2).sum())(x),
    "grad of vmap by batch": lambda t, x, y, W, B: t.func.grad(lambda W: (t.vmap(t.dot, (None, 0))(x, W) ** 2).sum())(
        W
    ),
    "grad of vmap of grad": lambda t, x, y, W, B: t.func.grad(
        lambda x: (t.vmap(t.func.grad(lambda x, w: (w * x).sin().sum()), (None, 0))(x, W) ** 2).sum()
    )(x),
    "hessian of vmap": lambda t, x, y, W, B: t.func.hessian(
        lambda x: (t.vmap(lambda w: (w * x).sin().sum())(W) ** 2).sum()
    )(x),
    "vmap of hessian": lambda t, x, y, W, B: t.vmap(t.func.hessian(cube))(W),
    "vmap of jvp": lambda t, x, y, W, B: t.vmap(lambda x, v: t.func.jvp(t.sin, (x,), (v,)), (None, 0))(x, W),
    "jvp of vmap": lambda t, x, y, W, B: t.func.jvp(t.vmap(lambda x: x.sin().sum()), (W,), (W * 2,)),
    "vmap of jacrev": lambda t, x, y, W, B: t.vmap(t.func.jacrev(lambda x: W @ x.sin()))(B),
    "vmap of vjp": lambda t, x, y, W, B: t.vmap(t.func.vjp(lambda x: (x * x, x.sin()), x)[1])((W, W)),
    "writes inside": lambda t, x, y, W, B: t.vmap(lambda x: (x * 1).add_(x).mul_(2))(W),
    "slices inside": lambda t, x, y, W, B: t.vmap(lambda x: _written(x))(W),
    "views inside": lambda t, x, y, W, B: t.vmap(lambda x: x.view(1, 3).t().expand(3, 2)[1:])(W),
    "sort": lambda t, x, y, W, B: tuple(t.vmap(lambda x: tuple(x.sort()))(W)),
    "where": lambda t, x, y, W, B: t.vmap(lambda x: t.where(x.sum() > 0, x, -x))(W),
    "write of one value": lambda t, x, y, W, B: (t.vmap(lambda r: (x.add_(1), r)[1])(W), x),
}


def _sliced(x, y):
    z = x * y
    z[1:] = x[:2] * 3
    z[0] *= x[2]
    return (z * z).sum()


def _written(x):
    z = x.clone()
    z[0] = x[1] * 2
    z[1:].mul_(x[0])
    return z


def _without(t, code):
    with t.no_grad():
        return code()


def _pulled(made, cotangents):
    return made[0], made[1](cotangents)


def _linear(made, *directions):
    return made[0], [made[1](d) for d in directions]


ALL = {**REVERSE, **FORWARD, **MAPS}


@pytest.mark.parametrize("name", ALL)
def test_agrees_with_torch(name):
    both(ALL[name])


# --- with the tape outside -----------------------------------------------------------------------------------------------


def _gradients(t, tensors, value):
    value.backward()
    return [x.grad for x in tensors]


TAPE = {
    "grad": lambda t, x, y, W, B: t.func.grad(cube)(x),
    "closed over": lambda t, x, y, W, B: t.func.grad(lambda z: (z**2 * x).sum())(y.detach()),
    "value": lambda t, x, y, W, B: t.func.grad_and_value(lambda x: (x**3 * y).sum())(x)[1],
    "aux": lambda t, x, y, W, B: t.func.grad(lambda x: (cube(x), x * y), has_aux=True)(x)[1],
    "vjp": lambda t, x, y, W, B: t.func.vjp(lambda x: x.sin() * y, x)[1](x * y)[0],
    "jacrev": lambda t, x, y, W, B: t.func.jacrev(lambda x: W @ (x.sin() * y))(x),
    "jvp": lambda t, x, y, W, B: t.func.jvp(lambda x: W @ (x.sin() * y), (x,), (y * 2,)),
    "jvp closed over": lambda t, x, y, W, B: t.func.jvp(lambda z: z.sin() * x * y, (x.detach(),), (y.detach(),)),
    "jacfwd": lambda t, x, y, W, B: t.func.jacfwd(lambda x: W @ (x.sin() * y))(x),
    "hessian": lambda t, x, y, W, B: t.func.hessian(lambda x: ((W @ (x * y)).sin()).sum())(x),
    "hessian of lines": lambda t, x, y, W, B: t.func.hessian(lambda x: ((W @ x).relu() * (W @ y)).sum() + x @ x)(x),
    "vmap": lambda t, x, y, W, B: t.vmap(lambda w: (w * x).sin() * y)(W),
    "vmap by columns": lambda t, x, y, W, B: t.vmap(lambda w: w.cumsum(0) * w.sum(), in_dims=1, out_dims=1)(W),
    "vmap of vmap": lambda t, x, y, W, B: t.vmap(lambda w: t.vmap(lambda b: (b * w * x).sin().sum() * y)(B))(W),
    "vmap chunks": lambda t, x, y, W, B: t.vmap(lambda w: (w * x).sin() * y, chunk_size=3)(W),
    "vmap constant": lambda t, x, y, W, B: t.vmap(lambda w: (w * x, y * 2), out_dims=(0, None))(W)[1],
    "per sample": lambda t, x, y, W, B: t.vmap(t.func.grad(lambda x, w: (w @ x).sin() * y.sum()), (None, 0))(x, W),
    "vmap of jvp": lambda t, x, y, W, B: t.vmap(lambda v: t.func.jvp(lambda x: x.sin() * y, (x,), (v,))[1])(W),
    "jvp of vmap": lambda t, x, y, W, B: t.func.jvp(lambda x: t.vmap(lambda w: (w * x).sin() * y)(W), (x,), (y,))[1],
    "of a computed one": lambda t, x, y, W, B: t.func.grad(lambda z: (z * z * y).sum())(x * y),
    "writes": lambda t, x, y, W, B: t.vmap(lambda w: (w * x).add_(y).mul_(w))(W),
    "no grad": lambda t, x, y, W, B: _without(t, lambda: t.func.grad(lambda x: (x * x * y).sum())(x)),
}


@pytest.mark.parametrize("name", TAPE)
@pytest.mark.parametrize("order", [1, 2])
def test_results_are_on_the_tape_outside(name, order):
    def code(t, x, y, W, B):
        wanting = [v.requires_grad_() for v in (x, y, W)]
        made = TAPE[name](t, x, y, W, B)
        leaves = made if isinstance(made, tuple) else (made,)
        value = sum((m.sin() * (i + 1)).sum() for i, m in enumerate(leaves))
        if not value.requires_grad:
            return made
        for _ in range(order - 1):
            found = t.autograd.grad(value, wanting, create_graph=True, materialize_grads=True)
            value = sum((f.cos() * (i + 1)).sum() for i, f in enumerate(found) if f.requires_grad)
        return [m.detach() for m in leaves], t.autograd.grad(value, wanting, materialize_grads=True)

    both(code, rtol=1e-8)


def test_nothing_outside_gets_a_gradient():
    w = fb.randn(3, requires_grad=True)
    x = fb.randn(3)
    made = fb.func.grad(lambda x: (x * w).sum())(x)
    assert w.grad is None and x.grad is None and not x.requires_grad and made.requires_grad
    assert not fb.func.grad(lambda x: (x * w.detach()).sum())(x).requires_grad


# --- errors --------------------------------------------------------------------------------------------------------------

ERRORS = {
    "no scalar": lambda t, x, y, W, B: t.func.grad(lambda x: x)(x),
    "no tensor": lambda t, x, y, W, B: t.func.grad(lambda x: 2.0)(x),
    "integers": lambda t, x, y, W, B: t.func.grad(lambda x: (x * 1.0).sum())(x.long()),
    "complex result": lambda t, x, y, W, B: t.func.grad(lambda x: x.sum() * 1j)(x),
    "too many": lambda t, x, y, W, B: t.func.grad(cube, argnums=1)(x),
    "none": lambda t, x, y, W, B: t.func.grad(cube, argnums=())(x),
    "text": lambda t, x, y, W, B: t.func.grad(cube, argnums="a")(x),
    "twice": lambda t, x, y, W, B: t.func.grad(cube, argnums=(0, 0))(x),
    "number": lambda t, x, y, W, B: t.func.grad(lambda x: x)(2.0),
    "aux missing": lambda t, x, y, W, B: t.func.grad(cube, has_aux=True)(x),
    "aux text": lambda t, x, y, W, B: t.func.grad(lambda x: (cube(x), "a"), has_aux=True)(x),
    "vjp number": lambda t, x, y, W, B: t.func.vjp(lambda x: x, 2.0),
    "vjp result": lambda t, x, y, W, B: t.func.vjp(lambda x: 2, x),
    "vjp shape": lambda t, x, y, W, B: t.func.vjp(lambda x: x * 2, x)[1](x[:2]),
    "vjp structure": lambda t, x, y, W, B: t.func.vjp(lambda x: (x, x * 2), x)[1](x),
    "backward": lambda t, x, y, W, B: t.func.grad(lambda x: (cube(x).backward(), cube(x))[1])(x),
    "jvp no tuple": lambda t, x, y, W, B: t.func.jvp(t.sin, x, (y,)),
    "jvp structure": lambda t, x, y, W, B: t.func.jvp(t.sin, (x,), (y, y)),
    "jvp shape": lambda t, x, y, W, B: t.func.jvp(t.sin, (x,), (y[:2],)),
    "jvp result": lambda t, x, y, W, B: t.func.jvp(lambda x: 2, (x,), (y,)),
    "jvp strict": lambda t, x, y, W, B: t.func.jvp(lambda x: y, (x,), (y,), strict=True),
    "jacrev chunk": lambda t, x, y, W, B: t.func.jacrev(cube, chunk_size=0)(x),
    "item": lambda t, x, y, W, B: t.vmap(lambda x: x * x.sum().item())(W),
    "if": lambda t, x, y, W, B: t.vmap(lambda x: x if x.sum() > 0 else -x)(W),
    "nonzero": lambda t, x, y, W, B: t.vmap(lambda x: x.nonzero())(W),
    "mask": lambda t, x, y, W, B: t.vmap(lambda x: x[x > 0])(W),
    "write outside": lambda t, x, y, W, B: t.vmap(lambda r: (x.add_(r), r)[1])(W),
    "no inputs": lambda t, x, y, W, B: t.vmap(lambda: x)(),
    "in None": lambda t, x, y, W, B: t.vmap(lambda x: x, in_dims=None)(x),
    "in all None": lambda t, x, y, W, B: t.vmap(lambda x: x, in_dims=(None,))(x),
    "in structure": lambda t, x, y, W, B: t.vmap(lambda x: x, in_dims=(0, 0))(x),
    "in list": lambda t, x, y, W, B: t.vmap(lambda x: x, in_dims=[0])(x),
    "in range": lambda t, x, y, W, B: t.vmap(lambda x: x, in_dims=3)(x),
    "in number": lambda t, x, y, W, B: t.vmap(lambda x, y: x * y)(x, 2.0),
    "sizes": lambda t, x, y, W, B: t.vmap(lambda x, y: x)(W, B),
    "scalar": lambda t, x, y, W, B: t.vmap(lambda x: x)(x[0]),
    "out number": lambda t, x, y, W, B: t.vmap(lambda x: 2.0)(x),
    "out None": lambda t, x, y, W, B: t.vmap(lambda x: None)(x),
    "out range": lambda t, x, y, W, B: t.vmap(lambda x: x, out_dims=3)(x),
    "out structure": lambda t, x, y, W, B: t.vmap(lambda x: (x, x), out_dims=(0,))(x),
    "out text": lambda t, x, y, W, B: t.vmap(lambda x: x, out_dims="a")(x),
    "out not mapped": lambda t, x, y, W, B: t.vmap(lambda x: x, out_dims=None)(x),
    "random": lambda t, x, y, W, B: t.vmap(lambda x: x + t.rand(3))(W),
    "randomness": lambda t, x, y, W, B: t.vmap(lambda x: x, randomness="some")(W),
    "chunk": lambda t, x, y, W, B: t.vmap(lambda x: x, chunk_size=0)(W),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_of_torchs_type(name):
    raised = []
    for library in (torch, fb):
        x, y, W, B = (library.ones(*shape) for shape in ((3,), (3,), (4, 3), (5, 3)))
        with pytest.raises(Exception) as error:
            ERRORS[name](library, x, y, W, B)
        raised.append(type(error.value))
    assert raised[0] is raised[1]


def test_structures_come_back_as_they_were():
    made = fb.func.grad(lambda p: (p.a * p.b[0]).sum())(Pair(fb.ones(2), [fb.ones(2)]))
    assert isinstance(made, Pair) and isinstance(made.b, list)
    made = fb.vmap(lambda d: collections.OrderedDict((("z", d["z"]), ("a", d["a"]))))(
        {"z": fb.ones(2), "a": fb.ones(2)}
    )
    assert list(made) == ["z", "a"] and isinstance(made, collections.OrderedDict)


# --- nothing leaks -------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_tensor_as_it_was():
    held = fb.zeros(3)
    with pytest.raises(RuntimeError, match="differ from sample to sample"):
        fb.vmap(lambda r: held.add_(r))(fb.ones(4, 3))
    assert held.tolist() == [0, 0, 0] and not held.requires_grad

    def fails(row):
        held.add_(row)
        raise KeyError("x")

    for transform in (lambda: fb.vmap(fails)(fb.ones(4, 3)), lambda: fb.func.jvp(fails, (fb.ones(3),), (fb.ones(3),))):
        with pytest.raises(KeyError):
            transform()
        assert held.tolist() == [0, 0, 0]
    assert (fb.vmap(lambda x: x + held)(fb.ones(4, 3)) == 1).all()


@pytest.mark.parametrize("transform", ["grad", "jvp"])
def test_writes_of_derivatives_keep_the_values(transform):
    held = fb.zeros(3)

    def code(x):
        held.add_(x)
        return (x * held).sum()

    x = fb.tensor([1.0, 2.0, 3.0])
    made = fb.func.grad(code)(x) if transform == "grad" else fb.func.jvp(code, (x,), (fb.ones(3),))[1]
    assert made.tolist() == ([2, 4, 6] if transform == "grad" else 12)
    assert held.tolist() == [1, 2, 3] and not held.requires_grad
    assert (held + 1).tolist() == [2, 3, 4]


def test_backward_into_tensors_outside_is_refused():
    w = fb.ones(3, requires_grad=True)

    def code(x):
        fb.autograd.backward([(w * x).sum()])
        return x

    with pytest.raises(RuntimeError, match="from outside"):
        fb.vmap(code)(fb.ones(4, 3))
    assert w.grad is None


def test_a_tensor_prints_inside():
    seen = []
    fb.vmap(lambda x: (seen.append(repr(x)), x)[1])(fb.ones(4, 3))
    assert "[3]" in seen[0] and "float32" in seen[0]


# --- random numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["rand", "randn"])
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_random_numbers_are_torchs(draw, randomness):
    both(lambda t, x, y, W, B: t.vmap(lambda w: w + getattr(t, draw)(3, dtype=w.dtype), randomness=randomness)(W))


def test_each_sample_has_its_own_dropout():
    drop = fb.nn.functional.dropout
    rows = fb.vmap(lambda x: drop(x, 0.5), randomness="different")(fb.ones(8, 64))
    assert len({tuple(r.tolist()) for r in rows}) == 8
    rows = fb.vmap(lambda x: drop(x, 0.5), randomness="same")(fb.ones(8, 64))
    assert len({tuple(r.tolist()) for r in rows}) == 1
    rows = fb.vmap(fb.vmap(lambda x: drop(x, 0.5), randomness="different"), randomness="different")(fb.ones(2, 3, 64))
    assert len({tuple(r.tolist()) for r in rows.reshape(6, 64)}) == 6
    chances = fb.vmap(lambda p: fb.bernoulli(p), randomness="different")(fb.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert chances.tolist() == [[0, 1], [1, 0]]


def test_vmap_by_its_old_name():
    def told(lib, internals):
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        (slope,) = lib.autograd.grad((x**3).sum(), x, create_graph=True)
        second = internals._vmap(lambda v: lib.autograd.grad(slope, x, v, retain_graph=True)[0])(lib.eye(3))
        rows = lib.arange(6.0).reshape(2, 3)
        sums, none = internals._vmap(lambda row: (row.sum(), None), allow_none_pass_through=True)(rows)
        with pytest.warns(FutureWarning, match="use `torch.vmap` instead"):
            doubled = internals.vmap(lambda row: row * 2, out_dims=1)(rows)
        with pytest.raises(ValueError, match="must only return Tensors"):
            internals._vmap(lambda row: (row, None))(rows)
        return second.tolist(), sums.tolist(), none, doubled.tolist()

    assert told(fb, fb._vmap_internals) == told(torch, torch._vmap_internals)


def test_the_pieces_that_packages_build_jacobians_of():
    def told(lib, pieces):
        t, d = lib.ones(2), lib.arange(3.0, dtype=lib.float64, requires_grad=True)
        basis = pieces._construct_standard_basis_for((t, d), (2, 3))
        kept, cut = (pieces._grad_postprocess(((d * 2,), (t,)), graph) for graph in (True, False))
        made = [
            [(x.requires_grad, x.is_leaf) for x in pieces._grad_preprocess((d, t, d * 2), *graphs)]
            for graphs in ((False, False), (False, True), (True, False), (True, True))
        ]
        with pytest.raises(TypeError) as error:
            pieces._as_tuple((t, 3), "inputs", "jacobian")
        asked = (True, False, (True, False), (False, True), (False, False))
        rows = [pieces._tuple_postprocess(((t, d), (d,)), answer) for answer in asked]
        return (
            [(part.tolist(), str(part.dtype)) for part in basis],
            (kept[0][0].requires_grad, cut[0][0].requires_grad, cut[1][0].tolist()),
            made,
            [len(pieces._as_tuple(x)) for x in (t, [t, d], (t,), 3)],
            str(error.value),
            [
                [
                    list(map(len, row)) if isinstance(row, tuple) and isinstance(row[0], tuple) else len(row)
                    for row in rows
                ]
            ],
        )

    assert told(fb, fb.autograd.functional) == told(torch, torch.autograd.functional)
