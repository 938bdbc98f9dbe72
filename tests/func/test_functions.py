"""autograd.Functions under torch.func, checkpoints, and torch.autograd.functional, against torch."""

from __future__ import annotations

import pytest
import torch
import torch.func
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
import flambeau.func
import flambeau.utils.checkpoint
from support.properties import examples
from support.values import same

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in its jvp


def functions(t):
    """Cubes whose rules are wrong in ways that tell which one was used."""

    class Plain(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.x = inputs[0]

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 10 * ctx.x**2

    class Pushing(Plain):
        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 10 * ctx.saved_tensors[0] ** 2

        @staticmethod
        def jvp(ctx, direction):
            return direction * 100 * ctx.saved_tensors[0] ** 2

    class Numpy(Pushing):
        generate_vmap_rule = False

        @staticmethod
        def forward(x):
            return t.from_numpy(x.detach().numpy() ** 3)

        @staticmethod
        def vmap(info, in_dims, x):
            assert info.batch_size == x.shape[in_dims[0]] and info.randomness == "error"
            return Numpy.apply(x), in_dims[0]

    return {"plain": Plain.apply, "pushing": Pushing.apply, "numpy": Numpy.apply}


USES = {
    "grad": lambda t, f, x, W: t.func.grad(lambda x: f(x).sum())(x),
    "second": lambda t, f, x, W: t.func.grad(lambda x: t.func.grad(lambda x: f(x).sum())(x).sum())(x),
    "jvp": lambda t, f, x, W: t.func.jvp(f, (x,), (x,)),
    "vmap": lambda t, f, x, W: t.vmap(f)(W),
    "vmap of columns": lambda t, f, x, W: t.vmap(f, in_dims=1)(W),
    "per sample": lambda t, f, x, W: t.vmap(t.func.grad(lambda x: f(x).sum()))(W),
    "grad of vmap": lambda t, f, x, W: t.func.grad(lambda x: t.vmap(f)(x).sum())(W),
    "jacfwd": lambda t, f, x, W: t.func.jacfwd(f)(x),
    "jacrev": lambda t, f, x, W: t.func.jacrev(f)(x),
    "hessian": lambda t, f, x, W: t.func.hessian(lambda x: f(x).sum())(x),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["plain", "pushing", "numpy"])
def test_functions_use_their_own_rules(kind, use):
    made = []
    for t in (torch, fb):
        x, W = t.tensor([1.0, 2.0, 3.0]), t.arange(6.0).reshape(2, 3)
        try:
            made.append(USES[use](t, functions(t)[kind], x, W))
        except (NotImplementedError, RuntimeError) as error:
            made.append(error)
    theirs, ours = made
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs)
        assert str(ours)[:40] == str(theirs)[:40]
    else:
        same(ours, theirs)


def test_checkpoints_in_gradients():
    model = fb.nn.Sequential(fb.nn.Linear(3, 4), fb.nn.Tanh())
    x = fb.randn(2, 3)

    def loss(x):
        return fb.utils.checkpoint.checkpoint(model, x, use_reentrant=True).square().sum()

    assert fb.allclose(fb.func.grad(loss)(x), fb.func.grad(lambda x: model(x).square().sum())(x))


FUNCTIONAL = {
    "jacobian": lambda t, f, x, y: f.jacobian(lambda x: x.sin() * x.sum(), x),
    "two": lambda t, f, x, y: f.jacobian(lambda x, y: (x * y, x.sum()), (x, y)),
    "constant": lambda t, f, x, y: f.jacobian(lambda x: y * 2, x),
    "vectorized": lambda t, f, x, y: f.jacobian(lambda x, y: (x * y, x.sum()), (x, y), vectorize=True),
    "forward": lambda t, f, x, y: f.jacobian(lambda x: x.sin() * x.sum(), x, vectorize=True, strategy="forward-mode"),
    "hessian": lambda t, f, x, y: f.hessian(lambda x: (x**3).sum() * x[0], x),
    "hessian of two": lambda t, f, x, y: f.hessian(lambda x, y: (x * y * y).sum(), (x, y)),
    "hessian vectorized": lambda t, f, x, y: f.hessian(lambda x: (x**3).sum(), x, vectorize=True),
    "hessian forward": lambda t, f, x, y: f.hessian(
        lambda x: (x**3).sum(), x, vectorize=True, outer_jacobian_strategy="forward-mode"
    ).detach(),
    "vjp": lambda t, f, x, y: f.vjp(lambda x, y: (x * y, x.sum()), (x, y), (x, y.sum())),
    "vjp constant": lambda t, f, x, y: f.vjp(lambda x: y * 2, x, y),
    "jvp": lambda t, f, x, y: f.jvp(lambda x, y: (x * y, x.sum()), (x, y), (y, x)),
    "jvp constant": lambda t, f, x, y: f.jvp(lambda x: y * 2, x, y),
    "hvp": lambda t, f, x, y: f.hvp(lambda x: (x**3).sum(), x, y),
    "vhp": lambda t, f, x, y: f.vhp(lambda x, y: (x * y * y).sum(), (x, y), (y, x)),
    "hvp of a line": lambda t, f, x, y: f.hvp(lambda x: x.sum(), x, y),
    "graph": lambda t, f, x, y: t.autograd.grad(f.jacobian(lambda x: x**3, x, create_graph=True).sum(), x),
    "graph vectorized": lambda t, f, x, y: t.autograd.grad(
        f.jacobian(lambda x: x**3, x, create_graph=True, vectorize=True).sum(), x
    ),
    "strict": lambda t, f, x, y: f.jacobian(lambda x, y: (x * y, x.sum()), (x, y), strict=True),
    "strict constant": lambda t, f, x, y: f.vjp(lambda x: y.detach() * 2, x, y, strict=True),
    "strict hessian": lambda t, f, x, y: f.hessian(lambda x: x.sum(), x, strict=True),
    "strict and vectorized": lambda t, f, x, y: f.jacobian(lambda x: x, x, strict=True, vectorize=True),
    "forward alone": lambda t, f, x, y: f.jacobian(lambda x: x, x, strategy="forward-mode"),
    "strategy": lambda t, f, x, y: f.jacobian(lambda x: x, x, vectorize=True, strategy="x"),
    "number": lambda t, f, x, y: f.jacobian(lambda x: x, 2.0),
    "number out": lambda t, f, x, y: f.jacobian(lambda x: 2.0, x),
    "list": lambda t, f, x, y: f.jacobian(lambda x: [x], x),
    "no scalar": lambda t, f, x, y: f.hessian(lambda x: x, x),
    "no vector": lambda t, f, x, y: f.hvp(lambda x: x.sum(), x),
    "vector": lambda t, f, x, y: f.vjp(lambda x: x, x, y[:2]),
}


def detached(value):
    return tuple(map(detached, value)) if isinstance(value, (tuple, list)) else value.detach()


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_autograd_functional(name):
    made = []
    for t in (torch, fb):
        x, y = (t.tensor(v, requires_grad=True) for v in ([1.0, 2.0, 3.0], [2.0, 1.0, 0.5]))
        try:
            made.append(detached(FUNCTIONAL[name](t, t.autograd.functional, x, y)))
        except Exception as error:
            made.append(type(error))
    assert made[0] is made[1] if isinstance(made[0], type) else not same(made[1], made[0])


# --- laws ------------------------------------------------------------------------------------------------------------

OPERATIONS = {
    "sin": fb.sin, "exp": fb.exp, "tanh": fb.tanh, "cumsum": lambda x: x.cumsum(0), "prod": lambda x: x.prod() * x,
    "softmax": lambda x: x.softmax(0), "flip": lambda x: x.flip(0) * x, "sort": lambda x: x.sort()[0],
    "norm": lambda x: x / (x.norm() + 1), "outer": lambda x: fb.outer(x, x), "max": lambda x: x.max() * x,
    "index": lambda x: x[[2, 0, 0]], "pad": lambda x: fb.nn.functional.pad(x, (1, 2)), "logsumexp": lambda x: x.logsumexp(0),
}  # fmt: skip


@examples(15)
@given(st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=2), st.integers(0, 99))
def test_laws(names, seed):
    """Reverse and forward Jacobians agree; pushed and pulled vectors are dual; a map is the function for each sample."""

    def f(x):
        for name in names:
            x = OPERATIONS[name](x.reshape(-1)[:3] if x.numel() >= 3 else x.sum() * fb.ones(3, dtype=fb.float64))
        return x

    fb.manual_seed(seed)
    x, v, rows = fb.randn(3, dtype=fb.float64), fb.randn(3, dtype=fb.float64), fb.randn(2, 3, dtype=fb.float64)
    assert fb.allclose(fb.func.jacrev(f)(x), fb.func.jacfwd(f)(x))
    out, pull = fb.func.vjp(f, x)
    w = fb.randn(out.shape, dtype=fb.float64)
    pushed = fb.func.jvp(f, (x,), (v,))[1]
    assert fb.allclose((pushed * w).sum(), (pull(w)[0] * v).sum())
    assert fb.allclose(fb.func.linearize(f, x)[1](v), pushed)
    assert fb.allclose(fb.vmap(f)(rows), fb.stack([f(r) for r in rows]))


def with_defaults(t, seen):
    class Scaled(t.autograd.Function):
        @staticmethod
        def forward(x, factor=3.0, offset=1.0):
            return x * factor + offset

        @staticmethod
        def setup_context(ctx, inputs, output):
            seen.append(inputs[1:])
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, gradient):
            seen.append(ctx.needs_input_grad)
            return gradient * ctx.factor, None, None

        @staticmethod
        def jvp(ctx, direction, *others):
            seen.append(others)
            return direction * ctx.factor

        @staticmethod
        def vmap(info, in_dims, x, factor, offset):
            seen.append((in_dims, factor, offset))
            return Scaled.apply(x, factor, offset), in_dims[0]

    return Scaled


@pytest.mark.parametrize("given", [{}, {"factor": 2.0}, {"offset": 5.0}])
def test_what_a_call_leaves_out_is_an_input_too(given):
    found = []
    for t in (fb, torch):
        seen: list = []
        apply, x = with_defaults(t, seen).apply, t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        made = apply(x, **given)
        slope = t.autograd.grad(made.sum(), x)[0]
        inner = t.func.grad(lambda x: apply(x, **given).sum())(x.detach())  # noqa: B023
        pushed = t.func.jvp(lambda x: apply(x, **given), (x.detach(),), (x.detach(),))[1]  # noqa: B023
        mapped = t.func.vmap(lambda x: apply(x, **given))(x.detach())  # noqa: B023
        found.append(([v.tolist() for v in (made, slope, inner, pushed, mapped)], {str(s) for s in seen}))
    assert found[0] == found[1]
