"""`autograd.Function`s written by users, and autograd's small print, as torch has them."""

from __future__ import annotations

import collections

import pytest
import torch

import flambeau as fb
from support.programs import agree


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


def _twice_given(library, n, kind):
    """One tensor n times among the results: whether these are one, where each comes from, the gradient."""

    def forward(ctx, x):
        if kind == "dirty":
            ctx.mark_dirty(x)
            x.mul_(2)
        return (x * 2 if kind == "new" else x,) * n

    x = _leaf(library)
    own = _function(library, forward, lambda ctx, *gs: sum(g * 10**i for i, g in enumerate(gs)))
    made = own.apply(x if kind == "leaf" else x * 1)
    sum((y * (i + 3)).sum() for i, y in enumerate(made)).backward()
    return made[0] is made[1], [(y.output_nr, y._is_view(), y._version) for y in made], x.grad


def _marked(library, x):
    versions = [x._version]
    for write in (lambda x: x, lambda x: x.mul_(2)):
        _function(library, lambda ctx, x, write=write: (ctx.mark_dirty(x), write(x))[1], lambda ctx, g: g).apply(x)
        versions.append(x._version)
    return versions


def _flagged(x, how, flag):
    try:
        how(x, flag)
    except Exception as error:
        return type(error).__name__, str(error)
    return x.requires_grad, x.is_leaf


def _packed(library, pack):
    x = _leaf(library) * 1
    try:
        with library.autograd.graph.saved_tensors_hooks(pack, lambda y: y):
            x * x
    except RuntimeError as error:
        return str(error)
    return None


def _mapped(library, *dims):
    seen = []

    def vmap(info, in_dims, *args):
        seen.append((info.batch_size, in_dims, [a.shape for a in args]))
        return args[0] * 2, in_dims[0]

    body = {"forward": lambda *args: args[0] * 2, "setup_context": lambda ctx, inputs, output: None, "vmap": vmap}
    own = type("Own", (library.autograd.Function,), {name: staticmethod(f) for name, f in body.items()})
    made = library.vmap(own.apply, in_dims=dims)(*(library.arange(27.0).view(3, 3, 3) for _ in dims))
    return seen, made


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
    **{
        f"given twice {n} {kind}": lambda t, n=n, kind=kind: _twice_given(t, n, kind)
        for n, kind in ((2, "leaf"), (3, "leaf"), (2, "value"), (2, "dirty"), (2, "new"))
    },
    "a list has no gradient": lambda t: (
        lambda x, seen: (seen.extend(_function(t, lambda ctx, x: [x * 2, x], None).apply(x)), seen[1] is x, seen[0].requires_grad)
    )(_leaf(t), []),
    "in a list is not returned": lambda t: _function(t, lambda ctx, x: (ctx.mark_dirty(x), [x])[1], None).apply(_leaf(t) * 1),
    "dirty counts a version": lambda t: [_marked(t, x) for x in (t.ones(2), _leaf(t) * 1, (_leaf(t) * 1)[:2], t.ones(3)[1:])],
    "flags of what is computed": lambda t: [
        _flagged(make(t), how, flag)
        for make in (lambda t: _leaf(t) * 2, lambda t: _leaf(t)[:1], _leaf, lambda t: t.ones(1), lambda t: t.ones(1) > 0)
        for how in (lambda x, flag: setattr(x, "requires_grad", flag), lambda x, flag: x.requires_grad_(flag))
        for flag in (True, False, 1)
    ],
    "numbers among the next functions": lambda t: [
        [(node and node.name(), i) for node, i in made.grad_fn.next_functions]
        for x, c in ((_leaf(t), t.ones(3, dtype=t.float64)),)
        for made in (x * 2, 2 - x, x + c.long(), x.add(c, alpha=3), x / 2, x**2, t.where(c > 0, x, 1.0), t.where(c > 0, c, x), x.mul_)
        if not callable(made)
    ],
    "left out among the next functions": lambda t: [
        [(node and node.name(), i) for node, i in made.grad_fn.next_functions]
        for x in (t.ones(1, 1, 3, requires_grad=True),)
        for made in (t.nn.functional.conv1d(x, t.ones(1, 1, 1)), t.nn.functional.layer_norm(x, (3,)))
    ],
    "where vmap finds the samples": lambda t: [_mapped(t, *dims) for dims in ((0,), (1,), (-1,), (1, None), (2, 0), (None, 1))],
    "set_grad_enabled of a word": lambda t: t.set_grad_enabled("a"),
    **{
        f"gradients {kind}": lambda t, make=make: _function(t, lambda ctx, x, n, y: x * 2, lambda ctx, g: make(g)).apply(
            _leaf(t), 3, t.ones(3)
        ).sum().backward()
        for kind, make in {
            "for a number": lambda g: (g, g, None), "that are a number": lambda g: (g, None, 5), "for a number that are one": lambda g: (g, 5, None),
            "in a list": lambda g: [g, None, None],
        }.items()
    },
    "a pack hook that writes": lambda t: [
        _packed(t, pack)
        for pack in (lambda y: y.mul_(2), lambda y: (y[:1].zero_(), y)[1], lambda y: y + 1)
    ],
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


@pytest.mark.parametrize("leaf", [True, False])
def test_an_argument_that_is_the_output_is_off_the_tape_under_no_grad(leaf):
    def run(lib):
        class Same(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x

            @staticmethod
            def backward(ctx, gradient):
                return gradient

        x = lib.ones(3, requires_grad=True)
        x = x if leaf else x * 1
        with lib.no_grad():
            y = Same.apply(x)
        return y is x, y.requires_grad, y.is_leaf, y.grad_fn is None, y._is_view(), y.data_ptr() == x.data_ptr()

    assert run(fb) == run(torch)


@pytest.mark.parametrize(
    "others",
    [
        lambda t, x: (),
        lambda t, x: (x.sum(),),
        lambda t, x: (t.tensor(1),),
        lambda t, x: ("a",),
        lambda t, x: (x.view(1, 3),),
    ],
)
def test_what_is_said_of_a_write_to_a_view_goes_by_the_outputs_with_a_gradient(others):
    def run(lib):
        own = _function(lib, lambda ctx, x: (x.view(-1), *others(lib, x)), lambda ctx, *g: g[0])
        x = _leaf(lib) * 1
        own.apply(x)[0].add_(1)

    assert isinstance(agree(run, words=None), RuntimeError)


@pytest.mark.parametrize("result", ["new", "as it is", "view", "marked"])
def test_what_forward_returns_keeps_its_class_and_attributes(result):
    def run(lib):
        class Sub(lib.Tensor):
            pass

        def forward(ctx, x):
            y = x if result == "as it is" else x.view(1, 3) if result == "view" else x * 2
            if result == "marked":
                y.note = "kept"
            ctx.y = y
            return y

        found = []
        for x in (lib.ones(3).as_subclass(Sub).requires_grad_(), lib.ones(3, requires_grad=True)):
            made = _function(lib, forward, lambda ctx, g: g.reshape(3) * 2).apply(x)
            made.sum().backward()
            same = made.grad_fn.y is made if result in ("new", "marked") else None
            found.append((type(made).__name__, getattr(made, "note", None), same, x.grad.tolist()))
        return found

    agree(run)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_named_tuple_comes_back_as_a_tuple(recorded):
    def run(lib):
        pair = collections.namedtuple("Pair", "a b")
        own = _function(lib, lambda ctx, x: pair(x * 2, x * 3), lambda ctx, a, b: a)
        with lib.set_grad_enabled(recorded):
            return type(own.apply(_leaf(lib))).__name__

    assert agree(run) == "tuple"


def test_what_forward_returns_can_be_written_to():
    def run(lib):
        x = _leaf(lib)
        own = _function(lib, lambda ctx, x: x * 2, lambda ctx, g: g * 2)
        y = own.apply(x)
        y.mul_(3)
        y[0] = 1
        y.sum().backward()
        return y, x.grad

    agree(run)


def _saving(library, save, forward=lambda x, y: x):
    body = {"forward": forward, "setup_context": save, "backward": lambda ctx, g: (g, g)}
    return type("Own", (library.autograd.Function,), {name: staticmethod(f) for name, f in body.items()})


SAVED = {
    "input": lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
    "output": lambda ctx, inputs, output: ctx.save_for_backward(None, output),
    "for forward mode": lambda ctx, inputs, output: ctx.save_for_forward(inputs[0]),
    "other input": lambda ctx, inputs, output: ctx.save_for_backward(inputs[1]),
    "attribute": lambda ctx, inputs, output: setattr(ctx, "x", inputs[0]),
    "written to": lambda ctx, inputs, output: (ctx.mark_dirty(output), ctx.save_for_backward(output)),
    "constant": lambda ctx, inputs, output: (ctx.mark_non_differentiable(output), ctx.save_for_backward(output)),
}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", SAVED)
def test_an_input_that_is_the_output_is_not_saved_by_setup_context(name, recorded):
    def seen(library):
        x = library.ones(3, dtype=library.float64, requires_grad=recorded)
        try:
            made = _saving(library, SAVED[name]).apply(x * 2, x * 1)
        except RuntimeError as error:
            return str(error)
        return made.tolist(), made.requires_grad

    assert seen(fb) == seen(torch)


def test_a_view_of_the_input_is_saved_by_setup_context():
    def seen(library):
        x = _leaf(library)
        _saving(library, SAVED["input"], lambda x, y: x.view_as(x)).apply(x, x).sum().backward()
        return x.grad.tolist()

    assert seen(fb) == seen(torch)
