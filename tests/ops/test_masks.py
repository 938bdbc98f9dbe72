"""Elements chosen by masks, and written there: against torch, and without a program for each number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.core.array import executables, first_calls
from support.outcomes import agree_on_error, agree_on_value, outcome

KEYS: dict[str, Callable[[Any, Any], Any]] = {
    "all": lambda t, m: m,
    "first dims": lambda t, m: m[:, :, 0],
    "inner": lambda t, m: (slice(None), m[0, :, 0]),
    "after a slice": lambda t, m: (slice(1, None), m[0]),
    "last": lambda t, m: (..., m[0, 0]),
    "beside a number": lambda t, m: (m[:, :, 0], 0),
    "beside None": lambda t, m: (None, m[:, 0, 0]),
    "beside indices": lambda t, m: (m[:, 0, 0], slice(None), t.tensor([0])),
    "true": lambda t, m: t.tensor(True),
    "false": lambda t, m: t.tensor(False),
    "numpy's": lambda t, m: np.array([True, False, True, False]),
    "list of bools": lambda t, m: [True, False, True, False],
    "too short": lambda t, m: m[:3],
    "list of ints": lambda t, m: [0, -2, 2],
    "list beyond": lambda t, m: [0, 4],
    "empty list": lambda t, m: [],
    "array of ints": lambda t, m: np.array([[0, 1], [1, -1]], np.int8),
    "lists of lists": lambda t, m: [[0, 1], [1, 2]],
}
KEPT = 30  # how many of `numbers` are positive
VALUES: dict[str, Callable[[Any], Any]] = {
    "float": lambda t: 2.5,
    "int": lambda t: 3,
    "0-dim": lambda t: t.tensor(1.5),
    "one element": lambda t: t.tensor([2.0]),
    "a row": lambda t: t.arange(5.0),
    "as many": lambda t: t.arange(60.0)[:KEPT],
    "one too many": lambda t: t.arange(60.0)[: KEPT + 1],
    "a row too short": lambda t: t.arange(3.0),
    "a row with a dim": lambda t: t.ones(1, 5),
    "another dtype": lambda t: t.tensor(2, dtype=t.int64),
    "row of another dtype": lambda t: t.ones(5, dtype=t.float32),
    "imaginary": lambda t: t.tensor(1 + 1j),
}
BEYOND: list[tuple[str, Any]] = [
    ("int8", 300),
    ("float16", 1e10),
    ("int32", float("nan")),
    ("int32", 1.7),
    ("uint8", -1),
    ("bool", 5),
]


def same(code: Callable[[Any], Any]) -> None:
    found, expected = outcome(lambda: code(fb)), outcome(lambda: code(torch))
    if not agree_on_error(found, expected, first=3):
        agree_on_value(found.value, expected.value)


def numbers(t: Any, requires_grad: bool = False) -> tuple[Any, Any]:
    generator = np.random.default_rng(3)
    x = t.from_numpy(generator.standard_normal((4, 3, 5)))
    return x.clone().requires_grad_(requires_grad), x > 0


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("taped", [False, True])
def test_reading(key: str, taped: bool) -> None:
    def read(t: Any) -> Any:
        x, m = numbers(t, taped)
        made = x[KEYS[key](t, m)]
        if taped:
            (made * made).sum().backward()
        return made.detach(), x.grad

    same(read)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("key", ["all", "first dims", "inner", "last", "too short", "true", "false"])
def test_writing(key: str, value: str) -> None:
    def write(t: Any) -> Any:
        x, m = numbers(t, True)
        y, v = x * 1, VALUES[value](t)
        learns = isinstance(v, t.Tensor) and v.dtype.is_floating_point
        if learns:
            v.requires_grad_()
        y[KEYS[key](t, m)] = v
        (y * y).sum().backward()
        return y.detach(), x.grad, v.grad if learns else None, type(y.grad_fn).__name__

    same(write)


@pytest.mark.parametrize("dtype,number", BEYOND)
@pytest.mark.parametrize("how", ["mask", "masked_fill", "index_fill"])
def test_a_tensor_of_another_dtype_is_read_as_its_number(dtype: str, number: Any, how: str) -> None:
    def write(t: Any) -> Any:
        x, v = t.zeros(3).to(getattr(t, dtype)), t.tensor(number)
        if how == "mask":
            x[t.tensor([True, False, True])] = v
            return x
        if how == "masked_fill":
            return x.masked_fill(t.tensor([True, False, True]), v)
        return x.index_fill(0, t.tensor([1]), v)

    same(write)


CHOSEN: dict[str, Callable[[Any, Any, Any], Any]] = {
    "by a mask": lambda t, x, m: x[m],
    "by a mask of rows": lambda t, x, m: x[m[:, 0, 0]],
    "inside": lambda t, x, m: x[:, m[0, :, 0]],
    "of a view": lambda t, x, m: x[:, 1:, ::2][m[:, 1:, ::2]],
    "by indices": lambda t, x, m: x[t.arange(x.shape[0] - 1), :, t.tensor([1])],
    "negative": lambda t, x, m: x[t.tensor([-1, 0])],
    "twice": lambda t, x, m: x[t.tensor([2, 0, 2])],
    "selected": lambda t, x, m: x.masked_select(m),
    "selected, spread": lambda t, x, m: x[0].masked_select(m),
    "put": lambda t, x, m: put(x * 1, m, x[m] * 2),
    "put in rows": lambda t, x, m: put(x * 1, m[:, 0, 0], x[m[:, 0, 0]] * 2),
    "put, spread": lambda t, x, m: put(x * 1, (slice(None), m[0, :, 0]), x[:, m[0, :, 0]][:1] * 2),
    "put at indices": lambda t, x, m: put(x * 1, t.tensor([0, 2]), x[1:3] * 3),
    "put twice": lambda t, x, m: put(x.detach() * 1, t.tensor([2, 2]), x[1:3] * 3),
    "put into a view": lambda t, x, m: put((x * 1)[:, 1], m[:, 1], x[:, 1][m[:, 1]] * 3),
    "put by name": lambda t, x, m: x.index_put((m,), x[m] * 2),
    "added by name": lambda t, x, m: x.index_put((m,), x[m] * 2, accumulate=True),
}


def put(y: Any, key: Any, values: Any) -> Any:
    y[key] = values
    return y


@pytest.mark.parametrize("how", CHOSEN)
def test_gradients_of_gradients(how: str) -> None:
    def code(t: Any) -> Any:
        x, m = numbers(t, True)
        y = CHOSEN[how](t, x, m)
        names = [type(y.grad_fn).__name__, type(y.clone().grad_fn.next_functions[0][0]).__name__]
        (g,) = t.autograd.grad((y**3).sum(), x, create_graph=True)
        (h,) = t.autograd.grad((g * g).sum(), x, retain_graph=True)
        (g * x).sum().backward()
        mapped = t.func.grad(lambda x: (CHOSEN[how](t, x, m) ** 2).sum())(x.detach())
        return y.detach(), g.detach(), h, x.grad, mapped, names

    same(code)


def test_hooks_and_passes() -> None:
    def code(t: Any) -> Any:
        x, m = numbers(t, True)
        seen: list[Any] = []
        y = x[m]
        y.register_hook(lambda g: g * 2)
        y.grad_fn.register_hook(lambda made, given: seen.append((made[0].shape, given[0].shape)))
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        return x.grad, [tuple(map(tuple, s)) for s in seen]

    same(code)


SPECIAL = [0.0, -0.0, np.inf, np.nan, 1e-39, -1e-310, 1.0, -2.5]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "complex64", "int64"])
@pytest.mark.parametrize("how", ["by a mask", "by a mask of rows", "negative", "selected", "put", "put at indices"])
def test_by_numpy_and_by_xla_to_the_bit(how: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.resize(np.array(SPECIAL), (3, 2, 4 + len(how) + 20 * len(dtype)))  # a shape that no other test has
    m = fb.from_numpy(np.random.default_rng(1).random(values.shape) > 0.4)

    def bits() -> list[bytes]:
        x = fb.from_numpy(np.nan_to_num(values, posinf=0) if dtype == "int64" else values).to(getattr(fb, dtype))
        learns = dtype != "int64"
        x.requires_grad_(learns)
        y = CHOSEN[how](fb, x, m)
        if learns:
            y.backward(fb.from_numpy(np.resize(np.array(SPECIAL), y.shape)).to(y.dtype))
        made = (y.detach(), *((x.grad,) if learns else ()))
        return [np.asarray(t._array).tobytes() for t in made]

    by_numpy = bits()
    monkeypatch.setattr(first_calls, "SERVES", False)
    assert by_numpy == bits()


def test_no_program_for_each_number_of_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    x = fb.linspace(-1, 1, 101)
    learned = x.clone().requires_grad_()
    gradient = np.linspace(1, 2, 101, dtype=np.float32)

    def run(bound: float) -> None:
        chosen = x[x > bound]
        assert chosen.shape == (int((x > bound).sum()),)
        y = x.clone()
        y[y > bound] = 0.0
        y[y < -bound] = fb.tensor(2.0)
        z = x.clone()
        z[x > bound] = chosen
        assert (z.numpy() == x.numpy()).all()
        places = fb.from_numpy(np.flatnonzero(x.numpy() > bound))
        assert (x[places].numpy() == chosen.numpy()).all()
        for made in (learned[x > bound], learned.masked_select(x > bound)):
            learned.grad = None
            made.backward(fb.from_numpy(gradient[: len(made)]))
            assert learned.grad is not None and (learned.grad.numpy()[-len(made) :] == gradient[: len(made)]).all()

    for bound in (0.1, 0.2) * 8:  # until XLA has taken over from NumPy
        run(bound)
    made: list[Any] = []
    trace = executables.pjit._infer_params  # type: ignore[attr-defined]
    monkeypatch.setattr(executables.pjit, "_infer_params", lambda *args: made.append(args) or trace(*args))  # type: ignore[attr-defined]
    for bound in np.linspace(0.3, 0.9, 13):
        run(float(bound))
    assert not made


def test_filling_in_place() -> None:
    x = fb.ones(4, 5)
    before = x.data_ptr()
    assert before and (x.zero_() is x) and not x.any() and x.fill_(2.5).sum() == 50
