"""Max pooling by the native kernels, and in XLA's form, against torch."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import flambeau as fb
from flambeau import native
from flambeau.native import pooling
from flambeau.native.xla_pooling import Windows, regular

needs_native = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")
both_forms = pytest.mark.parametrize("form", [pytest.param("native", marks=needs_native), "xla"])

CASES = [  # shape, kernel, stride, padding, dilation, ceil_mode
    ((2, 64, 23, 24), 3, 2, 1, 1, False),
    ((2, 16, 9, 9), 2, None, 0, 1, False),
    ((3, 17, 11, 13), (3, 2), (2, 1), (1, 0), (2, 3), True),
    ((1, 33, 7, 8), 5, 1, 2, 1, False),
    ((2, 20, 8, 7), (1, 4), (3, 2), (0, 2), 1, True),
    ((21, 6, 7), 3, 2, 1, 1, True),
    ((2, 19, 30), 4, 3, 2, 1, True),
    ((18, 12), 3, 1, 0, 2, False),
    ((2, 16, 5, 6, 7), 2, (2, 1, 2), (1, 0, 1), 1, True),
    ((2, 16, 40), 40, None, 0, 1, False),
    ((2, 16, 6, 6), 4, 1, 0, 1, False),
]


def using(form):
    return native.portable() if form == "xla" else contextlib.nullcontext()


def spatial(shape):
    return {2: 1, 3: 2, 4: 2, 5: 3}[len(shape)] if shape not in ((2, 19, 30), (2, 16, 40)) else 1


def values(shape, kind="ties", seed=0):
    rng = np.random.default_rng(seed)
    if kind == "different":
        return rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float32) / 64
    x = rng.integers(-2, 3, shape).astype(np.float32)
    if kind == "special":
        x = rng.choice(
            np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32), shape, p=[0.03, 0.1, 0.6, 0.1, 0.1, 0.07]
        )
    return x


def check(case, kind, dtype="float32", n=None):
    shape, *settings = case
    n = n or spatial(shape)
    a = torch.tensor(values(shape, kind)).to(getattr(torch, dtype)).requires_grad_()
    b = fb.tensor(values(shape, kind)).to(getattr(fb, dtype)).requires_grad_()
    name = f"max_pool{n}d"
    theirs, where = getattr(F, name)(a, *settings, return_indices=True)
    ours, places = getattr(fb.nn.functional, name)(b, *settings, return_indices=True)
    alone = getattr(fb.nn.functional, name)(b, *settings)
    np.testing.assert_array_equal(ours.detach().float().numpy(), theirs.detach().float().numpy())
    np.testing.assert_array_equal(alone.detach().float().numpy(), theirs.detach().float().numpy())
    np.testing.assert_array_equal(places.numpy(), where.numpy())
    assert places.dtype is fb.int64 and ours.dtype is getattr(fb, dtype)
    g = np.random.default_rng(1).integers(-4, 5, tuple(theirs.shape)).astype(np.float32)  # sums of these are exact
    (theirs,) = torch.autograd.grad(theirs, a, torch.tensor(g).to(a.dtype))
    (ours,) = fb.autograd.grad(alone, b, fb.tensor(g).to(b.dtype))
    np.testing.assert_array_equal(ours.float().numpy(), theirs.float().numpy())


@both_forms
@pytest.mark.parametrize("kind", ["ties", "special"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_places_and_gradient(case, kind, form):
    with using(form):
        check(case, kind)


@both_forms
@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_bfloat16(case, form):
    with using(form):
        check(case, "ties", "bfloat16")


@needs_native
@pytest.mark.parametrize(
    ("n", "shape", "size"),
    [(1, (2, 16, 13), 5), (2, (2, 17, 11, 9), (4, 1)), (2, (16, 7, 7), 3), (3, (2, 16, 5, 4, 6), (2, None, 3))],
)
def test_adaptive(n, shape, size):
    a, b = torch.tensor(values(shape), requires_grad=True), fb.tensor(values(shape), requires_grad=True)
    name = f"adaptive_max_pool{n}d"
    theirs, where = getattr(F, name)(a, size, return_indices=True)
    ours, places = getattr(fb.nn.functional, name)(b, size, return_indices=True)
    np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    np.testing.assert_array_equal(places.numpy(), where.numpy())
    g = np.random.default_rng(1).integers(-4, 5, tuple(theirs.shape)).astype(np.float32)
    theirs.backward(torch.tensor(g))
    ours.backward(fb.tensor(g))
    np.testing.assert_array_equal(b.grad.numpy(), a.grad.numpy())


@both_forms
def test_gradient_of_the_gradient(form):
    x, c = values((2, 16, 7, 8), "different"), values((2, 16, 7, 8), "different", 3)

    def second(lib, a, c):
        y = lib.nn.functional.max_pool2d(a, 3, 2, 1)
        (g,) = lib.autograd.grad((y**3).sum(), a, create_graph=True)
        (h,) = lib.autograd.grad((g * c).sum(), a)
        return h.detach().numpy()

    with using(form):
        ours = second(fb, fb.tensor(x, requires_grad=True), fb.tensor(c))
    np.testing.assert_allclose(ours, second(torch, torch.tensor(x, requires_grad=True), torch.tensor(c)), rtol=1e-5)


WINDOWS = (regular(7, 3, 2, 1, 1, 4), regular(8, 3, 2, 1, 1, 4))


def pooled(x, places=False, channel=1):
    return pooling._max_p.bind(x, windows=WINDOWS, channel=channel, places=places)


@both_forms
@pytest.mark.parametrize("channel", [1, 3])
def test_forward_mode_and_transposes(channel, form):
    rng = np.random.default_rng(0)
    shape, small = ((2, 16, 7, 8), (2, 16, 4, 4)) if channel == 1 else ((2, 7, 8, 16), (2, 4, 4, 16))
    x, t = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(2))
    g = jnp.asarray(rng.standard_normal(small), jnp.float32)
    with using(form):
        (y, where), (dy, _) = jax.jvp(lambda x: pooled(x, True, channel), (x,), (t,))
        moved = np.moveaxis(np.asarray(t), channel, 1).reshape(2, 16, -1)
        at = np.moveaxis(np.asarray(where), channel, 1).reshape(2, 16, -1)
        expected = np.moveaxis(np.take_along_axis(moved, at, 2).reshape(2, 16, 4, 4), 1, channel)
        np.testing.assert_array_equal(dy, expected)
        np.testing.assert_array_equal(y, pooled(x, False, channel)[0])
        (back,) = jax.vjp(lambda x: pooled(x, False, channel)[0], x)[1](g)
        np.testing.assert_allclose(jnp.vdot(back, t), jnp.vdot(g, dy), rtol=1e-4)
        # the gradient is linear, and its transpose is the derivative
        params = {"windows": WINDOWS, "channel": channel}
        (again,) = jax.linear_transpose(lambda g: pooling._put_p.bind(g, where, **params), g)(t)
        np.testing.assert_array_equal(again, dy)


@both_forms
@pytest.mark.parametrize("axis", [0, 1, 4])
def test_vmap(axis, form):
    x = jnp.asarray(values((3, 2, 16, 7, 8), "different"))
    g = jnp.asarray(values((2, 16, 4, 4), "different"))

    def both(x):
        (y, where), pull = jax.vjp(lambda x: tuple(pooled(x, True)), x)
        return y, where, pull((g, np.zeros(where.shape, jax.dtypes.float0)))[0]

    with using(form):
        each = [jnp.stack(r) for r in zip(*map(both, x), strict=True)]
        for a, b in zip(jax.vmap(both, in_axes=axis)(jnp.moveaxis(x, 0, axis)), each, strict=True):
            np.testing.assert_array_equal(a, b)
        # only one of the two arguments mapped
        where = each[1][0]
        put = lambda g: pooling._put_p.bind(g, where, windows=WINDOWS, channel=1)  # noqa: E731
        np.testing.assert_array_equal(
            jax.vmap(put)(g[None] * jnp.arange(3.0, dtype=g.dtype)[:, None, None, None, None])[1], put(g)
        )
        assert jax.vmap(put)(jnp.zeros((0, *g.shape), g.dtype)).shape == (0, 2, 16, 7, 8)


@both_forms
def test_empty_batch(form):
    with using(form):
        x = fb.zeros(0, 16, 7, 8, requires_grad=True)
        y, places = fb.nn.functional.max_pool2d(x, 3, 2, 1, return_indices=True)
        assert y.shape == places.shape == (0, 16, 4, 4)
        y.sum().backward()
        assert x.grad.shape == x.shape
        assert pooled(jnp.zeros((0, 16, 7, 8), jnp.float32), True)[1].shape == (0, 16, 4, 4)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_other_dtypes(dtype):
    x = values((2, 16, 7, 8))
    ours, places = fb.nn.functional.max_pool2d(fb.tensor(x).to(getattr(fb, dtype)), 3, 2, 1, return_indices=True)
    theirs, where = F.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(ours.float().numpy(), theirs.numpy())
    np.testing.assert_array_equal(places.numpy(), where.numpy())


@needs_native
def test_the_choice_is_in_the_program():
    x = jax.ShapeDtypeStruct((2, 16, 7, 8), jnp.float32)

    def program(x, channel=1, **settings):
        return jax.jit(lambda x: pooling.max_pooled(x, WINDOWS, **settings)).lower(x).as_text()

    assert "flambeau_max_pool_places" in program(x, with_places=True)
    assert "flambeau" not in program(x)  # transposes would cost more than the kernel saves
    last = jax.jit(lambda x: pooled(x, channel=3)).lower(jax.ShapeDtypeStruct((2, 7, 8, 16), jnp.float32)).as_text()
    assert "flambeau_max_pool" in last
    gradient = jax.jit(jax.grad(lambda x: pooling.max_pooled(x, WINDOWS)[0].sum())).lower(x).as_text()
    assert "flambeau_pool_put" in gradient
    for other in (((2, 6, 7, 8), jnp.float32), ((2, 16, 7, 8), jnp.float64)):
        assert "flambeau" not in program(jax.ShapeDtypeStruct(*other), with_places=True)
    with native.portable():
        assert "flambeau" not in program(x, with_places=True)


@needs_native
def test_large_windows_and_threads():
    x = jnp.asarray(values((2, 33, 40, 32), "different"))  # enough work for several threads
    windows = tuple(regular(n, 3, 2, 1, 1, (n - 1) // 2 + 1) for n in (33, 40))
    before = native.get_num_threads()

    def run():
        y, pull = jax.vjp(lambda x: pooling._max_p.bind(x, windows=windows, channel=3, places=False)[0], x)
        return y, pull(y)[0]

    try:
        native.set_num_threads(1)
        one = run()
        native.set_num_threads(3)
        for a, b in zip(one, run(), strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        native.set_num_threads(before)


def test_shapes_are_checked():
    with pytest.raises(TypeError, match="max_pool: the windows do not fit"):
        pooled(jnp.zeros((2, 16, 8, 8), jnp.float32))
    with pytest.raises(TypeError, match="flambeau_pool_put: the windows do not fit"):
        pooling._put_p.bind(jnp.zeros((2, 16, 4, 4)), jnp.zeros((2, 16, 4, 3), jnp.int32), windows=WINDOWS, channel=1)


@needs_native
def test_an_empty_window_is_an_error_of_xla():
    windows = (Windows(4, 1, 1, (-1, 0), (4, 4)),)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a window is empty"):
        pooling._max_p.bind(jnp.zeros((1, 4, 16), jnp.float32), windows=windows, channel=2, places=False)
    assert pooling.max_pooled(jnp.ones((1, 16, 4), jnp.float32), windows)[0].shape == (1, 16, 2)  # XLA's form takes it


@needs_native
def test_images_stay_channels_last():
    a, b = torch.nn.Conv2d(3, 16, 3), fb.nn.Conv2d(3, 16, 3)
    b.load_state_dict({k: fb.tensor(v.detach().numpy()) for k, v in a.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 3, 17, 17)).astype(np.float32)

    def loss(lib, model, x):
        return (lib.nn.functional.max_pool2d(model(x), 3, 2, 1) ** 2).sum()

    loss(torch, a, torch.tensor(x)).backward()
    for step in (loss, fb.compile(loss)):
        b.zero_grad()
        step(fb, b, fb.tensor(x)).backward()
        np.testing.assert_allclose(b.weight.grad.numpy(), a.weight.grad.numpy(), rtol=1e-3, atol=1e-3)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_random_geometries(part):
    rng = np.random.default_rng(part)
    for _ in range(30):
        n = int(rng.integers(1, 4))
        kernel, stride, dilation = (tuple(map(int, rng.integers(1, top, n))) for top in (5, 4, 3))
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padding = tuple(int(rng.integers(0, min(e, k) // 2 + 1)) for e, k in zip(extents, kernel, strict=True))
        sizes = tuple(e + int(rng.integers(0, 9)) for e in extents)
        shape = (int(rng.integers(1, 4)), int(rng.integers(14, 70)), *sizes)[int(rng.integers(0, 2)) :]
        if len(shape) == n + 1 and shape[0] < 14:
            shape = (16, *sizes)
        case = (shape, kernel, stride, padding, dilation, bool(rng.integers(0, 2)))
        check(case, ("ties", "special")[int(rng.integers(0, 2))], n=n)
