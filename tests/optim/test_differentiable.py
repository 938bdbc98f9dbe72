"""`differentiable=True`: gradients through steps, to what the parameters were and to options that are tensors."""

import numpy as np
import pytest
import torch

import flambeau as fb

CASES = [
    ("SGD", {"momentum": 0.9, "dampening": 0.3}, ()),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, ("lr",)),
    ("SGD", {}, ("lr",)),
    ("Adam", {"betas": (0.8, 0.9)}, ("lr", "betas")),
    ("Adam", {"betas": (0.8, 0.9), "decoupled_weight_decay": True, "weight_decay": 0.2}, ("lr", "betas")),
    ("RMSprop", {}, ()),
    ("Adagrad", {}, ()),
    ("Adadelta", {}, ()),
    ("RAdam", {}, ("lr",)),
    ("ASGD", {}, ()),
]


def unrolled(library, name, options, tensors):
    """Some steps, and the gradients of a function of where they lead."""
    generator = np.random.default_rng(1)
    leaves = [library.tensor(generator.standard_normal(s)).requires_grad_() for s in ((3, 2), (4,))]
    params = [leaf.clone() for leaf in leaves]
    options = {"lr": 0.1, **options}
    for key in tensors:
        value = options[key]
        made = [library.tensor(v, dtype=library.float64, requires_grad=True) for v in np.atleast_1d(value)]
        options[key] = tuple(made) if isinstance(value, tuple) else made[0]
        leaves += made
    optimizer = getattr(library.optim, name)(params, differentiable=True, **options)
    for _ in range(3):
        copies = [param.clone() for param in params]
        loss = sum((p * p).sum() * (i + 1) + p.sum().sin() for i, p in enumerate(copies))
        gradients = library.autograd.grad(loss, copies, create_graph=True)
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient
        optimizer.step()
    found = library.autograd.grad(sum((p**3).sum() for p in params), leaves)
    taped = [
        [isinstance(v, library.Tensor) and v.requires_grad for v in own.values()] for own in optimizer.state.values()
    ]
    return [p.detach().numpy() for p in params], [g.numpy() for g in found], taped if "lr" not in tensors else None


@pytest.mark.parametrize("name, options, tensors", CASES)
def test_gradients_through_steps(name, options, tensors):
    values, gradients, taped = unrolled(fb, name, options, tensors)
    their_values, their_gradients, their_taped = unrolled(torch, name, options, tensors)
    np.testing.assert_allclose(np.concatenate([v.ravel() for v in values]),
                               np.concatenate([v.ravel() for v in their_values]), rtol=1e-12)  # fmt: skip
    for mine, its in zip(gradients, their_gradients, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-12)
    assert taped == their_taped


def test_where_torch_refuses():
    """Options read as numbers and values written twice make PyTorch raise; here they have their gradients."""

    def end(lr):
        start = fb.tensor([1.0, 2.0], dtype=fb.float64)
        param = start.clone()
        optimizer = fb.optim.RMSprop([param], lr=lr, momentum=0.5, differentiable=True)
        for _ in range(3):
            param.grad = param.clone() * 2
            optimizer.step()
        return param.sum()

    lr = fb.tensor(0.1, dtype=fb.float64, requires_grad=True)
    (found,) = fb.autograd.grad(end(lr), lr)
    step = 1e-6
    difference = (
        (end(fb.tensor(0.1 + step, dtype=fb.float64)) - end(fb.tensor(0.1 - step, dtype=fb.float64))) / 2 / step
    )
    assert found.item() == pytest.approx(difference.item(), rel=1e-6)


@pytest.mark.parametrize("library", [fb, torch])
def test_a_leaf_is_refused(library):
    leaf = library.ones(2, requires_grad=True)
    optimizer = library.optim.SGD([leaf], lr=0.1, differentiable=True)
    leaf.grad = library.ones(2)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        optimizer.step()


def test_second_derivative():
    """The hypergradient of a learning rate by the learning rate."""
    results = []
    for library in (fb, torch):
        lr = library.tensor(0.1, dtype=library.float64, requires_grad=True)
        param = library.tensor([1.0, -2.0], dtype=library.float64).clone()
        optimizer = library.optim.SGD([param], lr=lr, differentiable=True)
        for _ in range(2):
            param.grad = param.clone() ** 3
            optimizer.step()
        (first,) = library.autograd.grad((param**2).sum(), lr, create_graph=True)
        (second,) = library.autograd.grad(first, lr)
        results.append((first.item(), second.item()))
    assert results[0] == pytest.approx(results[1], rel=1e-12)


def test_compiled():
    """A compiled inner loop gives the metagradient of the uncompiled one, at each call anew."""

    def metagradient(start, rate):
        param = start.clone()
        optimizer = fb.optim.Adam([param], lr=rate, differentiable=True)
        for _ in range(2):
            param.grad = param.clone() * 2
            optimizer.step()
        return fb.autograd.grad((param**2).sum(), start)[0]

    compiled = fb.compile(metagradient, fullgraph=True)
    for rate, start in ((0.1, [1.0, 2.0]), (0.3, [1.0, 2.0]), (0.3, [-1.0, 0.5])):
        start = fb.tensor(start, dtype=fb.float64, requires_grad=True)
        assert compiled(start, rate).tolist() == pytest.approx(metagradient(start, rate).tolist(), rel=1e-12)


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop"]
)
def test_foreach(name):
    """Lists of operators are not recorded, but for SGD's."""
    texts = []
    for library in (torch, fb):
        param = library.ones(2, 2, requires_grad=True).clone()
        optimizer = getattr(library.optim, name)([param], foreach=True, differentiable=True)
        param.grad = library.ones(2, 2)
        try:
            optimizer.step()
            texts.append(None)
        except AssertionError as error:
            texts.append(str(error))
    assert texts[0] == (None if name == "SGD" else "_foreach ops don't support autograd")
    assert texts[1] is None if texts[0] is None else texts[1].startswith(texts[0])
