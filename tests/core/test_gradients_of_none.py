"""Backward passes in which a node gives no gradient, or one that does not fit: what runs behind it, and which hooks are called."""

from __future__ import annotations

from typing import Any

import pytest

from support.programs import Programs, agree

PROGRAMS = Programs()


def _leaf(t: Any) -> Any:
    return t.ones(2, requires_grad=True)


def _giving(t: Any, gradient: Any, seen: list[Any] | None = None, materialize: bool = True) -> Any:
    """A Function that doubles, with the gradient that `gradient(g)` says."""

    class Doubled(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(materialize)
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            if seen is not None:
                seen.append(g)
            return gradient(g)

    return Doubled.apply


def _nothing(g: Any) -> None:
    return None


@PROGRAMS
def functions_behind_it_get_zeros(t: Any) -> Any:
    x, seen = _leaf(t), []
    _giving(t, _nothing)(_giving(t, lambda g: g * 2, seen)(x)).sum().backward()
    return seen, x.grad


@PROGRAMS
def or_none_if_they_ask_for_it(t: Any) -> Any:
    x, seen = _leaf(t), []
    _giving(t, _nothing)(_giving(t, lambda g: g, seen, materialize=False)(x)).sum().backward()
    return seen, x.grad


@PROGRAMS
def hooks_are_called_with_none(t: Any) -> Any:
    x, seen = _leaf(t), []
    y = x.exp()
    x.register_hook(lambda g: seen.append(("leaf", g)))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("added", p.grad)))
    y.register_hook(lambda g: seen.append(("tensor", g)))
    y.grad_fn.register_prehook(lambda gs: seen.append(("before", gs)))
    y.grad_fn.register_hook(lambda gs, outs: seen.append(("after", gs, outs)))
    y.retain_grad()
    _giving(t, _nothing)(y).sum().backward()
    (_giving(t, _nothing)(x) + x).sum().backward()
    return seen, x.grad, y.grad


@PROGRAMS
def hooks_of_several_are_called_with_none(t: Any) -> Any:
    x, seen = _leaf(t), []
    y = x * 2
    for mode in ("all", "any"):
        handle = t.autograd.graph.register_multi_grad_hook([x, y], seen.append, mode=mode)
        _giving(t, _nothing)(y.clone()).sum().backward(retain_graph=True)
        handle.remove()
    return seen


@PROGRAMS
def hooks_of_modules(t: Any) -> Any:
    x, seen, layer = _leaf(t), [], t.nn.Linear(2, 2)
    layer.register_full_backward_pre_hook(lambda module, outs: seen.append(outs))
    layer.register_full_backward_hook(lambda module, ins, outs: seen.append((ins, outs)))
    _giving(t, _nothing)(layer(x)).sum().backward()
    return seen, x.grad, layer.weight.grad


@PROGRAMS
def a_hook_may_not_put_one_there(t: Any) -> Any:
    y = _leaf(t) * 2
    y.register_hook(lambda g: t.ones(2))
    _giving(t, _nothing)(y).sum().backward()


@PROGRAMS
def asked_for(t: Any) -> Any:
    x = _leaf(t)
    y = x * 2
    through = _giving(t, lambda g: g)
    first = t.autograd.grad(_giving(t, _nothing)(through(y)).sum(), [x, y], allow_unused=True)
    second = t.autograd.grad(_giving(t, _nothing)(x * 2).sum(), [x], materialize_grads=True)
    return first, second, t.autograd.grad(_giving(t, _nothing)(x * 2).sum(), [x])


@PROGRAMS
def through_views_and_writes(t: Any) -> Any:
    x = _leaf(t)
    y = (x * 2).clone()
    y[0] = x[1]
    z = t.stack([t.cat([y, x])] * 2).t()
    _giving(t, _nothing)(z).sum().backward()
    return x.grad


@PROGRAMS
def inputs_of_backward_call_what_waits_for_them(t: Any) -> Any:
    x, seen = _leaf(t), []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("added", p.grad.clone())))
    node = t.autograd.graph.get_gradient_edge(x).node
    node.register_prehook(lambda gs: seen.append(("before", gs)))
    node.register_hook(lambda gs, outs: seen.append(("after", gs, outs)))
    y = x * 3
    (y * 2).sum().backward(inputs=[x, y, x])
    (_giving(t, _nothing)(x)).sum().backward(inputs=[x])
    return seen, x.grad, y.grad


@PROGRAMS
def hooks_of_several_outputs(t: Any) -> Any:
    found = []
    for order in ([2, 0, 1], [0, 2], [1, 0, 1, 2, 0]):
        x, seen = _leaf(t), []
        outputs = [*t.linalg.svd(t.eye(2) * x)]
        for place, number in enumerate(order):
            outputs[number].register_hook(lambda g, place=place, seen=seen: seen.append((place, g is None)))
        outputs[0].grad_fn.register_prehook(lambda gs, seen=seen: seen.append([g is None for g in gs]))
        outputs[1].sum().backward()
        found.append(seen)
    hidden, cell = t.nn.LSTMCell(2, 2)(x[None])
    hidden.register_hook(lambda g: found.append("no turn"))
    cell.sum().backward()
    return found


@PROGRAMS
def an_optimizer_in_backward_with_inputs(t: Any) -> Any:
    p = t.ones(3, requires_grad=True)

    def step(p: Any) -> None:
        with t.no_grad():
            p.sub_(0.1 * p.grad)
        p.grad = None

    p.register_post_accumulate_grad_hook(step)
    (p**2).sum().backward(inputs=[p])
    return p.detach(), p.grad


@PROGRAMS
def hooks_of_a_view_that_is_added_to_itself(t: Any) -> Any:
    found = []
    for write in (
        lambda v: v.add_(v),
        lambda v: v.add_(1, alpha=2),
        lambda v: v.sub_(v * 3),
        lambda v: v.add_(v.clone()),
    ):
        x, seen = _leaf(t), []
        y = x * 2
        v = y[:1]
        v.register_hook(seen.append)
        write(v)
        v.register_hook(seen.append)
        (y.sum() + v.sum()).backward()
        found.append((seen, x.grad))
    return found


@PROGRAMS
def sparse_gradients_have_gradients(t: Any) -> Any:
    class Rows(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Any, i: Any) -> Any:
            ctx.save_for_backward(i)
            ctx.shape = w.shape
            return w[i]

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            made = t.sparse_coo_tensor(ctx.saved_tensors[0][None], g, ctx.shape, check_invariants=False)
            return made, None

    w = t.arange(6.0).reshape(3, 2).requires_grad_()
    i, j = t.tensor([1, 1, 2]), t.tensor([0, 2])
    losses = [
        lambda: (Rows.apply(w, i) ** 2).sum() + (Rows.apply(w, j) ** 3).sum(),
        lambda: (Rows.apply(w, i) ** 2).sum() + (w**3).sum(),
        lambda: (Rows.apply(w * 1, i) ** 2).sum(),
    ]
    found = []
    for loss in losses:
        (g,) = t.autograd.grad(loss(), w, create_graph=True)
        found.append((g.requires_grad, g.to_dense().detach()))
        g.to_dense().sum().backward()
        found.append(w.grad.to_dense())
        w.grad = None
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    agree(PROGRAMS[name], words=None)


@pytest.mark.parametrize("other", ["complex128", "float64", "float16", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("own", ["float32", "complex64"])
def test_gradients_of_other_kinds(own: str, other: str) -> None:
    def to(t: Any, g: Any) -> Any:
        kind = getattr(t, other)
        return (g.real if g.is_complex() and not kind.is_complex else g).to(kind)

    def of_a_function(t: Any) -> Any:
        x = t.ones(2, dtype=getattr(t, own), requires_grad=True)
        _giving(t, lambda g: to(t, g))(x).abs().sum().backward()
        return x.grad

    def of_a_root(t: Any) -> Any:
        x = t.ones(2, dtype=getattr(t, own), requires_grad=True)
        (x * 2).backward(t.ones(2, dtype=getattr(t, other)))
        return x.grad

    def of_an_edge(t: Any) -> Any:
        x = t.ones(2, dtype=getattr(t, own), requires_grad=True)
        edge = t.autograd.graph.get_gradient_edge(x * 2)
        t.autograd.backward([edge], [t.ones(2, dtype=getattr(t, other))])
        return x.grad

    def of_a_hook(t: Any) -> Any:
        x = t.ones(2, dtype=getattr(t, own), requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: to(t, g))
        y.abs().sum().backward()

    for program in (of_a_function, of_a_root, of_an_edge, of_a_hook):
        agree(program, words=None)


def test_an_edge_takes_gradients_of_its_shape() -> None:
    def program(t: Any) -> Any:
        x = t.ones(2, requires_grad=True)
        t.autograd.backward([t.autograd.graph.get_gradient_edge(x * 2)], [t.ones(3)])

    assert isinstance(agree(program, words=None), RuntimeError)


def test_increment_version_takes_tensors() -> None:
    def program(t: Any) -> Any:
        t.autograd.graph.increment_version([t.ones(2), 3])

    assert isinstance(agree(program, words=None), RuntimeError)
