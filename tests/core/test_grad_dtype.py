"""`Tensor.grad_dtype`: gradients arrive at a leaf in another dtype, or in any."""

import pytest
import torch

import flambeau as fb

BOTH = pytest.mark.parametrize("lib", [fb, torch], ids=["flambeau", "torch"])


def leaf(lib, **kinds):
    return lib.tensor([1.0, 2.0], requires_grad=True, **kinds)


def doubling(lib):
    class Doubling(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g.to(lib.float64)

    return Doubling.apply


def name(dtype):
    return None if dtype is None else str(dtype).rpartition(".")[2]


def outcome(lib, program):
    try:
        return program(lib)
    except RuntimeError as error:
        return "RuntimeError", str(error).split(". ")[0]


def arriving(taken, times=1, held=None):
    def program(lib):
        x, seen = leaf(lib), []
        x.grad_dtype = taken and getattr(lib, taken)
        x.register_hook(lambda g: seen.append(name(g.dtype)))
        x.register_post_accumulate_grad_hook(lambda p: seen.append(name(p.grad.dtype)))
        if held:
            x.grad = lib.ones(2, dtype=getattr(lib, held))
        for _ in range(times):
            (x * 1000.3 + x * 0.3 + x * 0.3 + x * 0.3).sum().backward()
        (asked,) = lib.autograd.grad((x * 3).sum(), x)
        return name(x.grad_dtype), x.grad.tolist(), name(x.grad.dtype), seen, name(asked.dtype)

    return program


@pytest.mark.parametrize("held", [None, "float16", "float32", "float64"])
@pytest.mark.parametrize("taken", ["float16", "bfloat16", "float32", "float64", None])
def test_gradients_arrive_in_it(taken, held):
    for times in (1, 2):
        assert outcome(fb, arriving(taken, times, held)) == outcome(torch, arriving(taken, times, held))


def own_function(taken, first):
    def program(lib):
        x, f = leaf(lib), doubling(lib)
        x.grad_dtype = taken and getattr(lib, taken)
        parts = [f(x).sum(), (x * 2).sum()]
        (parts[first] + parts[1 - first]).backward()
        alone = leaf(lib)
        alone.grad_dtype = x.grad_dtype
        (asked,) = lib.autograd.grad(f(alone).sum(), alone)
        return x.grad.tolist(), name(x.grad.dtype), name(asked.dtype)

    return program


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("taken", ["float16", "float32", "float64", None])
def test_gradients_of_another_dtype_come_from_functions(taken, first):
    assert own_function(taken, first)(fb) == own_function(taken, first)(torch)


def settings(lib):
    seen = []

    def told(make, value):
        x = make()
        try:
            x.grad_dtype = value
            seen.append(name(x.grad_dtype))
        except RuntimeError as error:
            seen.append(str(error))
        return x

    def computed():
        with_grad = leaf(lib)
        (with_grad * 3).sum().backward()
        return with_grad

    told(lambda: leaf(lib), lib.float16)
    told(lambda: leaf(lib), lib.int64)
    told(lambda: leaf(lib), "a")
    told(lambda: lib.ones(2), lib.float16)
    told(lambda: lib.ones(2, dtype=lib.int64), lib.float16)
    told(computed, None)
    told(computed, lib.float32)
    told(computed, lib.float16)
    frozen = told(lambda: leaf(lib), lib.float16)
    frozen.requires_grad_(False)
    seen.append(name(frozen.grad_dtype))
    (frozen.requires_grad_() * 2).sum().backward()
    seen.append(name(frozen.grad.dtype))
    for made in (frozen.detach(), lib.nn.Parameter(frozen)):
        seen.append(name(made.grad_dtype))
    early = told(lambda: lib.ones(2), lib.float16)
    (early.requires_grad_() * 2).sum().backward()
    seen.append(name(early.grad.dtype))
    double = told(lambda: leaf(lib), lib.float16)
    double.data = double.data.double()
    plain = leaf(lib)
    plain.data = plain.data.double()
    seen += [name(double.grad_dtype), name(plain.grad_dtype)]
    for read in (lambda: (leaf(lib) * 2).grad_dtype, lambda: setattr(leaf(lib) * 2, "grad_dtype", lib.float32)):
        with pytest.raises(RuntimeError) as caught:
            read()
        seen.append(str(caught.value))
    return seen


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_what_may_be_set_and_what_keeps_it():
    assert settings(fb) == settings(torch)


@BOTH
@pytest.mark.filterwarnings("ignore:Using backward")
def test_derivatives_of_a_cast_gradient(lib):
    x = leaf(lib)
    x.grad_dtype = lib.float64
    (g,) = lib.autograd.grad((x**3).sum(), x, create_graph=True)
    (second,) = lib.autograd.grad(g.sum(), x)
    assert g.dtype == second.dtype == lib.float64
    assert g.tolist() == [3, 12] and second.tolist() == [6, 12]


@BOTH
def test_sparse_gradients_too(lib):
    layer = lib.nn.Embedding(4, 2, sparse=True)
    layer.weight.grad_dtype = lib.float64
    layer(lib.tensor([1, 1])).sum().backward()
    assert layer.weight.grad.is_sparse and layer.weight.grad.dtype == lib.float64
    assert layer.weight.grad.to_dense().tolist() == [[0, 0], [2, 2], [0, 0], [0, 0]]


@BOTH
def test_an_optimizer_takes_it(lib):
    x = leaf(lib)
    x.grad_dtype = lib.float16
    optimizer = lib.optim.SGD([x], 0.1)
    (x * 3).sum().backward()
    optimizer.step()
    assert x.dtype == lib.float32 and x.tolist() == pytest.approx([0.7, 1.7])


def test_integers_are_refused_when_a_gradient_comes():
    x = leaf(fb)
    x.grad_dtype = fb.int32
    with pytest.raises(RuntimeError, match="floating point or complex"):
        (x * 3.5).sum().backward()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_compiled_function_sees_each_change():
    layer = fb.nn.Linear(2, 1)

    @fb.compile
    def step(x):
        layer.zero_grad()
        layer(x).sum().backward()

    x = fb.ones(3, 2)
    for dtype in (fb.float32, fb.float16, fb.float32, None, fb.float64):
        layer.zero_grad()
        layer.weight.grad_dtype = dtype
        for _ in range(2):
            step(x)
            assert layer.weight.grad.dtype == (dtype or fb.float32)
            assert layer.weight.grad.tolist() == [[3, 3]]
