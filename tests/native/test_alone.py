"""Kernels of one operator: exact to the last digits, and the same whether the host or XLA's program calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn.functional as F
from flambeau.core.array import first_calls
from flambeau.core.array.executables import store
from flambeau.native import available, portable
from flambeau.native.alone import Alone

pytestmark = pytest.mark.skipif(not available(), reason="no compiled kernels")
SPECIAL = ("usual", "masked", "all masked", "nan", "inf", "large")
SHAPES = [((7,), 0), ((3, 5), -1), ((3, 5), 0), ((4, 33, 17), 1), ((2, 3, 100), 2), ((40, 90, 31), 1), ((64, 1300), 1)]


def numbers(shape: tuple[int, ...], kind: str, dtype: str) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal(shape) * 3
    flat = x.reshape(-1)
    if kind == "masked":
        flat[::3] = -np.inf
    elif kind == "all masked":
        flat[: shape[-1]] = -np.inf
    elif kind in ("nan", "inf"):
        flat[1] = float(kind)
    elif kind == "large":
        flat += 3e4
    return x.astype(dtype)


def close(made: Any, exact: np.ndarray, units: float, scale: Any = 1.0) -> None:
    """Numbers that are not finite are the same; of the others the error is at most so many units of what they were made of."""
    got = made.detach().numpy()
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(got[~finite], exact[~finite].astype(got.dtype))
    error = np.abs(got[finite].astype(np.longdouble) - exact[finite])
    assert (error <= units * np.finfo(got.dtype).eps * np.maximum(np.abs(exact[finite]), scale)).all()


def exact_softmax(x: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        shifted = wide - wide.max(dim, keepdims=True)
        logarithm = np.log(np.exp(shifted).sum(dim, keepdims=True))
        return np.exp(shifted) / np.exp(logarithm), shifted - logarithm


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_softmax_and_its_gradient_are_exact(kind: str, dtype: str) -> None:
    for shape, dim in SHAPES:
        x, g = numbers(shape, kind, dtype), numbers(shape, "usual", dtype)
        p, log_p = exact_softmax(x, dim)
        ours = [fb.tensor(x, requires_grad=True) for _ in range(2)]
        made = F.softmax(ours[0], dim), F.log_softmax(ours[1], dim)
        for y in made:
            y.backward(fb.tensor(g))
        # exp makes of the last place of its argument as many units as the argument has
        units = 4 + float(np.abs(log_p[np.isfinite(log_p)]).max(initial=0))
        close(made[0], p, units, 1e-30)
        close(made[1], log_p, 12)  # of which 8 may be those of a short sum
        with np.errstate(all="ignore"):
            bulk = np.abs(g).max() * 3
            close(ours[0].grad, p * (g - (p * g).sum(dim, keepdims=True)), units, bulk)
            close(
                ours[1].grad, g - p * g.astype(np.longdouble).sum(dim, keepdims=True), units, bulk * shape[dim] ** 0.5
            )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("kind", ["usual", "masked", "nan", "inf", "all ignored"])
def test_cross_entropy_is_pytorchs(kind: str, reduction: str) -> None:
    for shape in [(7,), (5, 9), (84, 65), (4, 10, 21), (2, 5, 6, 7)]:
        for weighted, dtype in ((False, "float32"), (True, "float64")):
            x, axis = numbers(shape, kind, dtype), min(1, len(shape) - 1)
            sizes = shape[:1] + shape[2:] if axis else ()
            t = np.random.default_rng(2).integers(0, shape[axis], sizes)
            t = np.full(sizes, 2) if kind == "all ignored" else t
            w = np.random.default_rng(3).random(shape[axis]).astype(dtype)
            results = []
            for lib in (torch, fb):
                given = lib.tensor(x, requires_grad=True)
                weight = lib.tensor(w) if weighted else None
                loss = lib.nn.functional.cross_entropy(
                    given, lib.tensor(t), weight, ignore_index=2, reduction=reduction
                )
                loss.sum().backward()
                results.append([loss, given.grad])
            for theirs, made in zip(*results, strict=True):
                assert theirs.shape == made.shape
                close(made, theirs.detach().numpy().astype(np.longdouble), 16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["usual", "nan", "inf", "large"])
def test_layer_norm_and_its_gradients_are_exact(kind: str, dtype: str) -> None:
    sizes = [((7,), 1), ((3, 5), 1), ((5, 1), 1), ((4, 33, 17), 1), ((2, 6, 7), 2), ((40, 90, 31), 1), ((64, 1300), 1)]
    for shape, last in sizes:
        x, g = numbers(shape, kind, dtype), np.random.default_rng(4).standard_normal(shape).astype(dtype)
        w, b = np.random.default_rng(5).standard_normal((2, *shape[-last:])).astype(dtype)
        axes = tuple(range(len(shape) - last, len(shape)))
        given = [fb.tensor(a, requires_grad=True) for a in (x, w, b)]
        made = F.layer_norm(given[0], shape[-last:], given[1], given[2])
        made.backward(fb.tensor(g))
        with np.errstate(all="ignore"):
            wide, up = x.astype(np.longdouble), g.astype(np.longdouble)
            middle = wide - wide.mean(axes, keepdims=True)
            scale = 1 / np.sqrt((middle**2).mean(axes, keepdims=True) + 1e-5)
            y, inner = middle * scale, up * w
            by_x = scale * (inner - inner.mean(axes, keepdims=True) - y * (inner * y).mean(axes, keepdims=True))
        if not np.isfinite(y).all():  # the rows of it are nan, and so is the gradient by the weight
            np.testing.assert_array_equal(np.isnan(made.detach().numpy()), np.isnan(y * w + b))
            np.testing.assert_array_equal(np.isnan(given[0].grad.numpy()), np.isnan(by_x))
            continue
        rows, lost = tuple(range(len(shape) - last)), 1 + np.abs(wide).max() * scale.max()
        bulk = (np.abs(up) * (1 + np.abs(y))).sum(rows)
        close(made, y * w + b, 8 * lost, np.abs(y * w).max() + 1)
        close(given[0].grad, by_x, 16 * lost, np.abs(scale * inner).max() * (1 + np.abs(y).max()))
        close(given[1].grad, (up * y).sum(rows), 8 * lost, bulk.max())
        close(given[2].grad, up.sum(rows), 8, np.abs(up).sum(rows).max())


def test_layer_norm_of_some_parameters_is_pytorchs() -> None:
    x, w = numbers((6, 21), "usual", "float32"), numbers((21,), "usual", "float32")
    for weighted, biased, asked in (
        (1, 0, (0, 1)),
        (0, 1, (0, 1)),
        (1, 1, (2,)),
        (1, 1, (1,)),
        (1, 1, (0, 2)),
        (0, 0, (0,)),
    ):
        results = []
        for lib in (torch, fb):
            given = [lib.tensor(x, requires_grad=True)]
            given += [lib.tensor(w, requires_grad=True) for there in (weighted, biased) if there]
            rest = iter(given[1:])
            weight, bias = (next(rest) if there else None for there in (weighted, biased))
            made = lib.nn.functional.layer_norm(given[0], (21,), weight, bias, 1e-3)
            results.append(lib.autograd.grad(made.cos().sum(), [given[i] for i in asked]))
        for theirs, ours in zip(*results, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-5, atol=2e-6)


def calls(shape: tuple[int, ...], dtype: str = "float32") -> dict[str, Any]:
    """Operators with kernels, each as a function of nothing."""
    rows = fb.tensor(numbers(shape, "masked", dtype), requires_grad=True)
    classes = fb.tensor(np.random.default_rng(2).integers(0, shape[1], shape[:1]))
    usual = fb.tensor(numbers(shape, "usual", dtype), requires_grad=True)
    weight, bias = (fb.tensor(numbers(shape[1:], "usual", dtype)) for _ in range(2))
    return {
        "layer_norm": lambda: F.layer_norm(usual, shape[1:], weight, bias),
        "layer_norm without parameters": lambda: F.layer_norm(usual, shape[1:], eps=0.1),
        "softmax": lambda: rows.softmax(1),
        "log_softmax": lambda: rows.log_softmax(-1),
        "along the first": lambda: rows.softmax(0),
        "cross_entropy": lambda: F.cross_entropy(rows, classes),
        "each": lambda: F.cross_entropy(rows, classes, reduction="none"),
    }


def bits(make: Any) -> bytes:
    made = make()
    (root,) = (edge[0].variable for edge in made.grad_fn.next_functions[:1])
    (gradient,) = fb.autograd.grad(made.sum(), [root])
    return made.detach().numpy().tobytes() + gradient.numpy().tobytes()


@pytest.mark.skipif(store() is None, reason="programs are called otherwise")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nobody_can_tell_when_the_program_takes_over(dtype: str) -> None:
    for name, make in calls((13, 37 if dtype == "float32" else 19), dtype).items():
        first = bits(make)
        assert all(bits(make) == first for _ in range(70)), name


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_new_shapes_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    whole = Alone.__call__

    def noted(self: Alone, arrays: Any, results: Any, *given: int) -> Any:
        made.append(f"{self.symbol} {type(arrays[0]).__name__}")
        return whole(self, arrays, results, *given)

    monkeypatch.setattr(Alone, "__call__", noted)
    x = fb.tensor(numbers((11, 41), "usual", "float32"), requires_grad=True)
    F.cross_entropy(F.layer_norm(x.softmax(1), (41,)), fb.zeros(11, dtype=fb.int64)).backward()
    names = ("softmax", "layer_norm", "entropy", "entropy_back", "layer_norm_back", "softmax_back")
    assert made == [f"flambeau_{name} ndarray" for name in names]


def test_what_the_kernels_do_not_take_is_xlas() -> None:
    x = numbers((3, 5), "usual", "float32")
    with portable():
        plain = fb.tensor(x).softmax(1)
    close(plain, exact_softmax(x, 1)[0], 8)
    assert fb.tensor(x).bfloat16().softmax(1).dtype is fb.bfloat16
    assert fb.tensor(x).softmax(1, dtype=fb.float64).dtype is fb.float64
    assert fb.zeros(0, 4).softmax(1).shape == (0, 4)
    assert fb.tensor(2.0).softmax(0).item() == 1
    for wrong in (5, -3):
        with pytest.raises(IndexError, match="Dimension out of range"):
            fb.tensor(x).softmax(wrong)
    with pytest.raises(RuntimeError, match="not implemented for 'Long'"):
        fb.ones(3, 5, dtype=fb.int64).softmax(1)
    with portable():
        plain = F.layer_norm(fb.tensor(x), (5,))
    np.testing.assert_allclose(F.layer_norm(fb.tensor(x), (5,)).numpy(), plain.numpy(), rtol=1e-5, atol=1e-6)
    assert F.layer_norm(fb.tensor(x).bfloat16(), (5,)).dtype is fb.bfloat16
    assert F.layer_norm(fb.zeros(0, 4), (4,)).shape == (0, 4)
    with pytest.raises(RuntimeError, match="expected input with shape"):
        F.layer_norm(fb.tensor(x), (4,))


def test_gradients_of_gradients_and_compiled_functions_agree() -> None:
    x = numbers((4, 6), "usual", "float64")
    results = []
    for lib in (torch, fb):
        given = lib.tensor(x, requires_grad=True)
        (first,) = lib.autograd.grad((given.softmax(1) ** 2).sum(), given, create_graph=True)
        (second,) = lib.autograd.grad((first**2).sum(), given)
        results.append(second.numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-10, atol=1e-14)
    compiled = fb.compile(lambda t: t.softmax(1))
    np.testing.assert_allclose(compiled(fb.tensor(x)).numpy(), fb.tensor(x).softmax(1).numpy(), rtol=1e-14)
