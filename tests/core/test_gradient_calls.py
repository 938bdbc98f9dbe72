"""How gradients are asked for: the arguments of `grad` and `backward`, `autograd.functional`, forward mode, several threads."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad

import flambeau as fb
import flambeau.autograd.forward_ad
from support.programs import agree


def _leaf(t: Any) -> Any:
    return t.tensor([1.0, 2.0], dtype=t.float64, requires_grad=True)


def _with_old_name(t: Any) -> Any:
    x = _leaf(t)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        t.autograd.backward(x * 2, grad_variables=t.ones(2, dtype=t.float64))
        t.autograd.backward(x.sum(), None, None, False, None, [x])
    return x.grad


def _forward_mode(saved: Any) -> Any:
    def code(t: Any) -> Any:
        seen = []

        def setup(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            if saved:
                ctx.save_for_forward(inputs[1])

        def jvp(ctx: Any, *tangents: Any) -> Any:
            seen.append([s.tolist() for s in ctx.saved_tensors])
            return tangents[0] * 2

        def backward(ctx: Any, g: Any) -> Any:
            seen.append([s.tolist() for s in ctx.saved_tensors])
            return g * ctx.saved_tensors[1], None

        body = {"forward": lambda x, y: x * y, "setup_context": setup, "jvp": jvp, "backward": backward}
        own = type("Own", (t.autograd.Function,), {k: staticmethod(v) for k, v in body.items()})
        with warnings.catch_warnings(), t.autograd.forward_ad.dual_level():
            warnings.simplefilter("ignore", DeprecationWarning)
            x = t.autograd.forward_ad.make_dual(t.ones(2), t.full((2,), 3.0))
            seen.append(t.autograd.forward_ad.unpack_dual(own.apply(x, t.full((2,), 5.0))).tangent.tolist())
        x = t.ones(2, requires_grad=True)
        own.apply(x, t.full((2,), 5.0)).sum().backward()
        return seen, x.grad

    return code


PROGRAMS: dict[str, Any] = {
    "inputs by name": lambda t: (lambda x: t.autograd.grad((x * 2).sum(), {"a": x, "b": x}))(_leaf(t)),
    "an input by name that is unused": lambda t: (
        lambda x: t.autograd.grad((x * 2).sum(), {"a": x, "b": _leaf(t)}, allow_unused=True)
    )(_leaf(t)),
    "no inputs": lambda t: t.autograd.grad((_leaf(t) * 2).sum(), {}),
    "backward to inputs by name": lambda t: (lambda x: (t.autograd.backward((x * 2).sum(), inputs={"a": x}), x.grad))(_leaf(t)),
    "weights under their old name": _with_old_name,
    "weights under both names": lambda t: t.autograd.backward((x := _leaf(t)), t.ones_like(x), grad_variables=t.ones_like(x)),
    "rows of gradients without gradients": lambda t: t.autograd.grad((x := _leaf(t)) * 2, x, is_grads_batched=True),
    "rows of a number's gradients": lambda t: t.autograd.grad((x := _leaf(t)).sum(), x, is_grads_batched=True),
    "saved for forward": _forward_mode(True),
    "not saved for forward": _forward_mode(False),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    agree(PROGRAMS[name], words=None if "both" not in name else 0)


FUNCTIONS: list[
    tuple[Any, tuple[int, ...], dict[str, Any]]
] = [  # what is differentiated, the sizes of its inputs, options
    (lambda x: x.sum(), (2,), {"strict": True}),
    (lambda x: x.sum(), (2,), {"strict": True, "create_graph": True}),
    (lambda x: 3.0, (2,), {}),
    (lambda x: [x.sum()], (2,), {}),
    (lambda x: (x.sum(), 3.0), (2,), {}),
    (lambda x: (x.sum(), x.sum()), (2,), {}),
    (lambda x: x * 2, (2,), {}),
    (lambda x: x.detach().sum(), (2,), {"strict": True}),
    (lambda x, y: (x * 2).sum(), (2, 3), {"strict": True}),
    (lambda x, y: (x**3).sum() + (y**2).prod(), (2, 3), {"strict": True}),
]


@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "hvp", "vhp"])
def test_functional(name: str) -> None:
    def ones(t: Any, *sizes: int) -> Any:
        made = tuple(t.ones(n, dtype=t.float64) for n in sizes)
        return made[0] if len(made) == 1 else made

    def call(t: Any, function: Any, inputs: Any, *v: Any, **options: Any) -> Any:
        return getattr(t.autograd.functional, name)(function, inputs, *v, **options)

    weighed = name not in ("jacobian", "hessian")
    for function, sizes, options in FUNCTIONS:
        agree(
            lambda t, f=function, s=sizes, o=options: call(t, f, ones(t, *s), *([ones(t, *s)] if weighed else ()), **o),
            words=None,
        )
    for inputs in (lambda t: 3.0, lambda t: (ones(t, 2), 3.0)):
        agree(lambda t, i=inputs: call(t, lambda *x: x[0].sum(), i(t), *([ones(t, 2)] if weighed else ())), words=None)
    if weighed:
        for v in (lambda t: None, lambda t: ones(t, 3), lambda t: ones(t, 2, 2), lambda t: 3.0, lambda t: (3.0,)):
            agree(lambda t, v=v: call(t, lambda x: x.sum() if name != "vjp" else x * 1, ones(t, 2), v(t)), words=None)
        agree(lambda t: call(t, lambda x, y: x.sum(), ones(t, 2, 3), ones(t, 2, 4)), words=None)
    elif name == "jacobian":
        for options in ({"strategy": "forward-mode"}, {"strategy": "x"}, {"strict": True, "vectorize": True}):
            agree(lambda t, o=options: call(t, lambda x: x.sum(), ones(t, 2), **o), words=None)


def test_threads_add_to_one_gradient() -> None:
    x = fb.zeros(3, requires_grad=True)

    def work() -> None:
        for _ in range(20):
            (x * 2).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad is not None and x.grad.tolist() == [320.0] * 3


def test_rows_of_gradients_that_do_not_fit() -> None:
    for t in (torch, fb):
        x = t.ones(2, requires_grad=True)
        with pytest.raises(
            RuntimeError, match="we interpret the first dimension of each grad_output as the batch dimension"
        ):
            t.autograd.grad(x * 2, x, t.ones(2, 3), is_grads_batched=True)
