"""Backward passes under dispatch modes: what these see, that gradients stay what they are, and the graphs that `make_fx` makes."""

import pytest
import torch

import flambeau
import flambeau.fx.experimental.proxy_tensor
import flambeau.utils._python_dispatch

# Programs whose backward passes are the same ATen operators in PyTorch, but for the order in which leaves collect
EQUAL = """
x / v
x.max(1)[0]
torch.cat([x[:, 1:3], x.t()[:, :2]])
F.gelu(F.linear(b3, w, b)).tanh()
b3 @ b3.transpose(1, 2)
F.cross_entropy(F.layer_norm(x, (4,), v, v), target)
F.max_pool2d(F.conv2d(img, kernel, padding=1).relu(), 2)
F.mse_loss(F.embedding(target, w), x)
"""
# Programs that are computed with other arguments by their graphs: gradients, and gradients of these
GRAPHS = """
F.cross_entropy(F.linear(x, w, b).relu(), target)
x.clone().mul_(v)
torch.einsum("ij,kj->ik", x, w)
F.layer_norm(F.conv2d(img, kernel).sigmoid(), (2,), v[:2], v[2:])
"""
TWICE = """
x.tanh() * x.detach()
F.softmax(x @ w.t(), 1)
F.layer_norm(x, (4,), v, v)
F.conv2d(img, kernel).relu()
"""
NAMES = ("x", "w", "b", "b3", "v", "img", "kernel")
SHAPES = ((3, 4), (5, 4), (5,), (2, 3, 4), (4,), (1, 2, 4, 4), (2, 2, 3, 3))


def listed(text):
    return text.strip().splitlines()


def values(lib, seed=0):
    made = []
    for i, shape in enumerate(SHAPES):
        array = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + i)).numpy()
        made.append(lib.tensor(array).requires_grad_())
    return made


def gradients(lib, program, given, second=False):
    names = dict(zip(NAMES, given, strict=True), torch=lib, F=lib.nn.functional, target=lib.tensor([0, 1, 2]))
    y = eval(program, names)
    weight = lib.linspace(1, 2, y.numel(), dtype=lib.float64).reshape(y.shape)
    found = lib.autograd.grad(y, given, weight, create_graph=second, materialize_grads=True)
    if second:
        total = sum((g * g).sum() for g in found)
        found += lib.autograd.grad(total, given, materialize_grads=True)
    return found


def seen_by(lib, program):
    """The names and the shapes of what runs in the backward pass; what leaves do with their gradients differs."""
    seen = []

    class Mode(lib.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            shapes = [tuple(a.shape) if hasattr(a, "shape") else a for a in args]
            seen.append(f"{func} {shapes}")
            return func(*args, **(kwargs or {}))

    names = dict(zip(NAMES, values(lib), strict=True), torch=lib, F=lib.nn.functional, target=lib.tensor([0, 1, 2]))
    y = eval(program, names)
    weight = lib.ones_like(y)
    with Mode():
        y.backward(weight)
    leaves = ("aten.detach.", "aten.new_empty_strided.", "aten.copy_.")
    return sorted(line for line in seen if not line.startswith(leaves))


@pytest.mark.parametrize("program", listed(EQUAL))
def test_the_backward_pass_is_seen_as_in_pytorch(program):
    assert seen_by(flambeau, program) == seen_by(torch, program)


@pytest.mark.parametrize(
    ("program", "second"),
    [(program, False) for program in listed(GRAPHS)]
    + [pytest.param(program, True, marks=[pytest.mark.slow] * (i != 1)) for i, program in enumerate(listed(TWICE))],
)
def test_a_graph_of_gradients_computes_them_for_other_values(program, second):
    given, others = values(flambeau), values(flambeau, seed=50)
    make_fx = flambeau.fx.experimental.proxy_tensor.make_fx
    graph = make_fx(lambda *args: list(gradients(flambeau, program, args, second)))(*given)
    expected = gradients(flambeau, program, others, second)
    for made, wanted in zip(graph(*others), expected, strict=True):
        flambeau.testing.assert_close(made, wanted.detach(), check_device=False, rtol=1e-9, atol=1e-10)


def test_a_mode_that_changes_a_gradient_is_heard():
    class Doubled(flambeau.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            return made * 2 if func is flambeau.ops.aten.tanh_backward.default else made

    x = flambeau.tensor([0.5], requires_grad=True)
    (plain,) = flambeau.autograd.grad(x.tanh().sum(), x)
    y = x.tanh().sum()
    with Doubled():
        (seen,) = flambeau.autograd.grad(y, x)
    assert seen.item() == 2 * plain.item()


def test_what_has_no_form_is_one_operator():
    x = flambeau.randn(3, 3, requires_grad=True)
    y = flambeau.linalg.det(x)
    seen = []

    class Mode(flambeau.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Mode():
        y.backward()
    assert seen == ["aten.ones_like.default", "flambeau.LinalgDetBackward0", "aten.detach.default"]
    flambeau.testing.assert_close(x.grad, (y * flambeau.linalg.inv(x).T).detach())


def test_gradients_of_func_are_a_graph():
    make_fx = flambeau.fx.experimental.proxy_tensor.make_fx
    graph = make_fx(flambeau.func.grad(lambda x: x.sin().sum()))(flambeau.ones(3))
    named = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert flambeau.ops.aten.cos.default in named
    x = flambeau.tensor([0.1, 0.2, 0.3])
    flambeau.testing.assert_close(graph(x), x.cos())


@pytest.mark.parametrize("reduction", ({}, {"reduction": 0}, {"reduction": 2}))
def test_losses_under_their_aten_names_reduce_as_in_pytorch(reduction):
    for name in ("binary_cross_entropy_with_logits", "mse_loss", "cross_entropy_loss"):
        made = []
        for lib in (torch, flambeau):
            x = lib.linspace(0, 1, 6).reshape(2, 3)
            y = lib.tensor([1, 2]) if name == "cross_entropy_loss" else lib.ones(2, 3)
            made.append(getattr(lib.ops.aten, name).default(x, y, **reduction))
        assert made[1].numpy() == pytest.approx(made[0].numpy(), rel=1e-5)
