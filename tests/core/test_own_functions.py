"""`autograd.Function`s written by users, and autograd's small print, as torch has them."""

from __future__ import annotations

import pytest

from both import agree


def _function(library, forward, backward):
    body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Own", (library.autograd.Function,), body)


def _leaf(library, *values):
    return library.tensor(values or (1.0, 2.0, 3.0), dtype=library.float64, requires_grad=True)


def _dirty(library, more=False, returned=True):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(3)
        return ((x, x * 2) if more else x) if returned else x * 2

    return _function(library, forward, lambda ctx, *g: g[0] * 3)


def _aliasing(library, look):
    return _function(library, lambda ctx, x: look(x), lambda ctx, g: g * 5)


def _written(library, made, other):
    made.mul_(2)
    other.sum().backward()


CASES = {
    "dirty value": lambda t: (lambda x, y: (_dirty(t).apply(y) is y, y.sum().backward(), x.grad))(*_two(t)),
    "dirty leaf": lambda t: _dirty(t).apply(_leaf(t)),
    "dirty view of a leaf": lambda t: _dirty(t).apply(_leaf(t)[:2]),
    "dirty view": lambda t: (lambda x, y: (_dirty(t).apply(y[:2]), y.sum().backward(), x.grad)[2])(*_two(t)),
    "dirty view and another result": lambda t: _dirty(t, more=True).apply((_leaf(t) * 1)[:2]),
    "dirty but not returned": lambda t: _dirty(t, returned=False).apply(_leaf(t) * 1),
    "input returned, then written to": lambda t: _aliasing(t, lambda x: x).apply(_leaf(t) * 1).mul_(2),
    "view returned, then written to": lambda t: _aliasing(t, lambda x: x.view(-1)).apply(_leaf(t) * 1).mul_(2),
    "view returned, then its base written to": lambda t: (
        lambda y: (lambda v: (y.mul_(2), v + 1))(_aliasing(t, lambda x: x[:2]).apply(y))
    )(_leaf(t) * 1),
    "input returned off the tape": lambda t: (lambda x: _aliasing(t, lambda x: x).apply(x) is x)(t.ones(2)),
    "no forward": lambda t: type("Own", (t.autograd.Function,), {}).apply(_leaf(t)),
    "an int saved": lambda t: _function(t, lambda ctx, x: (ctx.save_for_backward(x, 3), x * 2)[1], None).apply(_leaf(t)),
    "arguments by name": lambda t: (
        lambda x: (_function(t, lambda ctx, x, k: x * k, lambda ctx, g: (g * 2, None)).apply(x, k=2.0).sum().backward(), x.grad)
    )(_leaf(t)),
    "a list of results": lambda t: type(_function(t, lambda ctx, x: [x * 2, x * 3], None).apply(_leaf(t))).__name__,
    "what ctx holds is on the node": lambda t: (
        lambda n: (n.k, n.needs_input_grad, n.name())
    )(_function(t, lambda ctx, x: (setattr(ctx, "k", 7), x * 2)[1], None).apply(_leaf(t)).grad_fn),
    "integers' gradients are zeros": lambda t: (
        lambda x, seen: (_function(t, lambda ctx, x: (x * 2, x > 1), lambda ctx, g, h: (seen.append(h), g)[1]).apply(x)[0]
                         .sum().backward(), seen)
    )(_leaf(t), []),
    "set_grad_enabled of a word": lambda t: t.set_grad_enabled("a"),
    "no inputs": lambda t: t.autograd.grad((_leaf(t) * 2).sum(), []),
    "unused": lambda t: t.autograd.grad((_leaf(t) * 2).sum(), _leaf(t)),
    "hook of another size": lambda t: (lambda y: (y.register_hook(lambda g: g[:2]), y.sum().backward()))(_leaf(t) * 2),
    "hook of another dtype": lambda t: (lambda y: (y.register_hook(lambda g: g.float()), y.sum().backward()))(_leaf(t) * 2),
    "hook of another kind": lambda t: (lambda y: (y.register_hook(lambda g: 3), y.sum().backward()))(_leaf(t) * 2),
    "drawn by a parameter": lambda t: (lambda x: (t.bernoulli(x).sum().backward(), x.grad)[1])(_leaf(t, 0.2, 0.7)),
    "drawn over a value": lambda t: (lambda x: (lambda y: (y.normal_(), y.requires_grad, (y * 2).sum().backward(), x.grad)[1:])(x * 2))(_leaf(t)),
    "expanded, then strided": lambda t: (lambda x: t.autograd.grad((x.expand(2, 3).as_strided((2, 2), (1, 1), 0) ** 3).sum(), x))(_leaf(t)),
}  # fmt: skip


def _two(library):
    x = _leaf(library)
    return x, x * 1


@pytest.mark.parametrize("name", CASES)
def test_as_in_torch(name):
    agree(CASES[name])


def test_differentiating_twice_what_is_once_differentiable():
    def twice(t):
        backward = t.autograd.function.once_differentiable(lambda ctx, g: g * 2)
        own = _function(t, lambda ctx, x: x * 2, backward)
        x = _leaf(t)
        (g,) = t.autograd.grad((own.apply(x) ** 2).sum(), x, create_graph=True)
        g.sum().backward()

    agree(twice, words=10)
