"""Hooks of nodes and leaves, memory that is resized or replaced, and expanded memory, run by both libraries."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import flambeau as fb
from support.programs import agree


def _leaf(t: Any) -> tuple[Any, Any, list[Any]]:
    x = t.ones(2, requires_grad=True)
    return x, x.view_as(x).grad_fn.next_functions[0][0], []


def hooks_of_an_accumulator(t: Any) -> Any:
    x, node, seen = _leaf(t)
    x.register_post_accumulate_grad_hook(lambda p: seen.append("added"))
    handle = node.register_hook(lambda *given: seen.append(str(given)))
    node.register_prehook(lambda given: seen.append("before"))
    x.register_hook(lambda gradient: seen.append("tensor"))
    (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    t.autograd.grad((x * 3).sum(), x)
    return seen


def an_accumulator_that_is_frozen(t: Any) -> Any:
    x, node, seen = _leaf(t)
    node.register_hook(lambda *given: seen.append("after"))
    x.requires_grad_(False)
    x.requires_grad_(True)
    x.sum().backward()
    return seen


def hooks_that_write(t: Any) -> Any:
    """A gradient that a hook has written to, and not returned, goes on as it is then."""

    def write(gradients: Any, *_: Any) -> None:
        for gradient in gradients if isinstance(gradients, tuple) else (gradients,):
            if gradient is not None:
                gradient *= 3
                gradient[:1] = 0.5

    found = []
    for where in ("tensor", "leaf", "before", "after", "module"):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        module = t.nn.Identity()
        if where == "module":
            module.register_full_backward_hook(lambda module, gradients, _: write(gradients))
        y = module(x).exp()
        if where in ("tensor", "leaf"):
            (y if where == "tensor" else x).register_hook(write)
        elif where != "module":
            (y.grad_fn.register_prehook if where == "before" else y.grad_fn.register_hook)(write)
        (first,) = t.autograd.grad((y * 2).sum(), x, create_graph=True)
        (second,) = t.autograd.grad(first.sum(), x, allow_unused=True)
        (y.detach() * module(x).exp()).sum().backward()
        found.append((first.detach(), second if where == "leaf" else None, x.grad))
    return found


def hooks_of_nodes_see_a_gradient_for_each_input(t: Any) -> Any:
    """Also for what has none: numbers, and tensors that ask for none."""
    x, seen = t.ones(2, 3, requires_grad=True), []
    functional = t.nn.functional
    for y in (x * 2, 2 / x, x.exp(), functional.layer_norm(x, (3,)), x + t.ones(3), t.lerp(x, x.detach(), 0.5), x.view(6),
              functional.batch_norm(x, None, None, training=True), t.where(x > 0, x, x.detach())):  # fmt: skip
        y.grad_fn.register_hook(
            lambda gradients, outs: seen.append([g if g is None else g.shape for g in (*gradients, *outs)])
        )
        y.sum().backward()
    z = x * 1
    z.grad_fn.register_hook(lambda gradients, _: (gradients[0] * 5, None))
    return seen, t.autograd.grad(z.sum(), x)


def nodes_that_are_called(t: Any) -> Any:
    x = t.ones(3, requires_grad=True)
    copied = t.zeros(3).copy_(x)
    return (x * 2).grad_fn(t.ones(3)), x.exp().grad_fn(t.ones(3)), copied.grad_fn.name(), type(copied.grad_fn).__name__


def what_a_context_keeps(t: Any) -> Any:
    context = t.autograd.function.FunctionCtx()
    context.save_for_backward(t.ones(2))
    return context.to_save


def inputs_that_keep_their_gradient(t: Any) -> Any:
    x = t.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    z = (y * 3).sum()
    z.backward(inputs=[y], retain_graph=True)
    once = y.grad.tolist()
    t.autograd.grad(z, y, retain_graph=True)
    z.backward(inputs=[x, y], retain_graph=True)
    return once, y.grad.tolist(), x.grad


def hooks_of_nodes(change: Any) -> Any:
    def code(t: Any) -> Any:
        x = t.ones(2, requires_grad=True)
        y = x * 2
        getattr(y.grad_fn, "register_prehook" if len(change) == 1 else "register_hook")(change[-1])
        y.sum().backward()
        return x.grad

    return code


def module_hook(t: Any) -> Any:
    layer = t.nn.Linear(2, 2)
    layer.register_full_backward_pre_hook(lambda *given: "a")
    layer(t.ones(1, 2, requires_grad=True)).sum().backward()


def vjp(t: Any, both: bool = False) -> Any:
    class Twice(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def vjp(ctx, gradient):
            return gradient * 7

    if both:
        Twice.backward = Twice.vjp
    x = t.ones(1, requires_grad=True)
    Twice.apply(x).backward()
    return x.grad


def resized(t: Any) -> Any:
    x = t.ones(2)
    y, z, p = x.detach(), x.data, t.nn.Parameter(x)
    y.resize_(4)
    x[0] = 5
    shapes = [tuple(a.shape) for a in (x, y, z, p)]
    x.resize_(2, 3)
    m = t.ones(2, device="meta")
    m.detach().resize_(4)
    return shapes, y[:2].tolist(), [tuple(a.shape) for a in (x, y, z, p, m)]


def set_to(t: Any, taped: bool) -> Any:
    x = t.ones(3, requires_grad=True)
    y, other = (x.clone(), t.ones(2) * 5) if taped else (t.zeros(3), x)
    y.set_(other)
    assert y.requires_grad and y.shape == other.shape
    y.sum().backward()


OVERLAPPING = {
    "add_": lambda x, t: x.add_(1),
    "copy_": lambda x, t: x.copy_(t.arange(3.0)),
    "normal_": lambda x, t: x.normal_(),
    "out": lambda x, t: t.add(x, 1, out=x),
    "index_add_": lambda x, t: x.index_add_(0, t.tensor([0]), t.ones(1)),
    "zero_": lambda x, t: x.zero_(),
    "fill_": lambda x, t: x.fill_(2),
    "assigned": lambda x, t: x.__setitem__(slice(None), 3.0) or x,
}
PROGRAMS: dict[str, Any] = {
    **{f.__name__: f for f in (hooks_of_an_accumulator, an_accumulator_that_is_frozen, inputs_that_keep_their_gradient, hooks_that_write)},
    **{f.__name__: f for f in (hooks_of_nodes_see_a_gradient_for_each_input, what_a_context_keeps, nodes_that_are_called)},
    "a prehook gives no tuple": hooks_of_nodes([lambda g: g[0] * 5]),
    "a prehook gives a tuple": hooks_of_nodes([lambda g: (g[0] * 5,)]),
    "a prehook gives nothing": hooks_of_nodes([lambda g: (None,)]),
    "a prehook gives another size": hooks_of_nodes([lambda g: (g[0][:1],)]),
    "a prehook gives another dtype": hooks_of_nodes([lambda g: (g[0].double(),)]),
    "a prehook gives a text": hooks_of_nodes([lambda g: ("a",)]),
    "a hook gives another size": hooks_of_nodes([0, lambda gi, go: (gi[0][:1], *gi[1:])]),
    "a hook gives another dtype": hooks_of_nodes([0, lambda gi, go: (gi[0].double(), *gi[1:])]),
    "a hook gives a number": hooks_of_nodes([0, lambda gi, go: (1, *gi[1:])]),
    "inputs that require no gradient": lambda t: t.ones(2, requires_grad=True).sum().backward(inputs=[t.ones(1)]),
    "a hook gives a list": hooks_of_nodes([0, lambda gi, go: [gi[0]]]),
    "a module's hook gives a text": module_hook,
    "vjp": vjp,
    "vjp and backward": lambda t: vjp(t, True),
    "resized": resized,
    "set_ of a computed tensor": lambda t: set_to(t, True),
    "set_ to a leaf": lambda t: set_to(t, False),
    "set_ to nothing": lambda t: t.ones(3).set_(),
    "set_ to another dtype": lambda t: t.ones(3).set_(t.ones(3, dtype=t.int32)),
    "negative sizes": lambda t: t.ones(3).as_strided((-2,), (1,)),
    "fill_ of an expanded computed tensor": lambda t: (t.ones(1, requires_grad=True) * 2).expand(3).zero_(),
    "view_as_complex of one row": lambda t: t.view_as_complex(t.arange(4.0).unfold(0, 2, 3)),
    "view_as_complex of odd strides": lambda t: t.view_as_complex(t.arange(20.0).as_strided((2, 2), (3, 1))),
    "a version": lambda t: setattr(t.ones(2), "_version", 3),
    "a shape": lambda t: delattr(t.ones(2), "shape"),
    "an option that is no bool": lambda t: t.nn.Parameter(t.ones(2), 3),
    "a dispatch mode that was not entered": lambda t: __import__(
        f"{t.__name__}.utils._python_dispatch", fromlist=["x"]
    ).TorchDispatchMode().__exit__(None, None, None),
    **{f"{sizes} as sizes": lambda t, s=sizes: t.ones(2).resize_(*s).shape for sizes in ((-1,), (2, -1), (2, 2.5), ("a",), ([2, 1],))},
    **{f"H of {n} dimensions": lambda t, n=n: t.ones([1] * n).H for n in (1, 2, 3)},
    "a mask of numbers": lambda t: t.ones(2).masked_fill(t.ones(2, dtype=t.int8), 1.0),
    "other bits of turned numbers": lambda t: t.ones(2, 3).int().t().view(t.int16),
    "too few repeats": lambda t: t.ones(2, 3).repeat(2),
    "whether a longer tensor is in it": lambda t: t.ones(3) in t.ones(2),
    "a text": lambda t: t.Tensor("a"),
    "a number": lambda t: t.FloatTensor(1.5),
    "another device": lambda t: t.LongTensor(2, device="meta"),
    "a device by name": lambda t: (t.FloatTensor([1.5, 2], device="cpu"), t.LongTensor(2, 3, device=None).shape, t.IntTensor(data=[1])),
    "inverse with nan": lambda t: t.inverse(t.tensor([[float("nan"), 1.0], [1.0, 2.0]])).isnan(),
    "solve with nan": lambda t: t.linalg.solve(t.tensor([[2.0, 1.0], [1.0, float("nan")]]), t.ones(2)).isnan(),
    "lu with nan": lambda t: t.linalg.lu_factor(t.tensor([[1.0, 2, 3], [4, float("nan"), 6], [7, 8, 10]]))[0].isnan(),
    **{f"{name} of an expanded tensor": lambda t, f=f: f(t.ones(1).expand(3), t) for name, f in OVERLAPPING.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    agree(PROGRAMS[name], words=None)


@pytest.mark.parametrize(
    "make", [lambda t: t.zeros(2, requires_grad=0), lambda t: t.tensor([1.0], requires_grad="a"), lambda t: t.rand(2, requires_grad=1)]
)  # fmt: skip
def test_flags_that_are_no_bools(make: Any) -> None:
    for library in (torch, fb):
        with pytest.raises(TypeError, match="requires_grad"):
            make(library)


def test_a_compiled_step_sees_the_hook_of_an_accumulator() -> None:
    layer = fb.nn.Linear(2, 1, bias=False)
    layer.weight.data.fill_(1.0)
    optimizer = fb.optim.SGD(layer.parameters(), lr=0.1)

    @fb.compile
    def step(x: Any) -> None:
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()

    def tenfold(*gradients: Any) -> None:
        layer.weight.grad.mul_(10)

    step(fb.ones(1, 2))
    assert layer.weight[0, 0].item() == pytest.approx(0.9)
    weight = layer.weight
    handle = weight.view_as(weight).grad_fn.next_functions[0][0].register_hook(tenfold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it runs uncompiled, perhaps
        step(fb.ones(1, 2))
        assert weight[0, 0].item() == pytest.approx(-0.1, abs=1e-6)
        handle.remove()
        step(fb.ones(1, 2))
    assert weight[0, 0].item() == pytest.approx(-0.2, abs=1e-6)
