"""Tensors and NumPy arrays that a compiled function finds in names, containers and objects."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table

case = Table()


@dataclasses.dataclass
class Layer:
    gain: float
    shift: Any = 0.0


@case
def tensors_in_a_list(compile, x):
    ws = [fb.tensor(1.0), fb.tensor(2.0)]
    f = compile(lambda x: sum(w * x for w in ws))
    yield f(x)
    ws[0] = fb.tensor(5.0)
    yield f(x)
    ws.append(fb.tensor([1.0, 2.0, 3.0]))
    yield f(x)
    ws[1].mul_(2)
    yield f(x)


@case
def tensors_in_a_dict(compile, x):
    ws = {"a": fb.tensor(1.0)}
    f = compile(lambda x: x * ws["a"])
    yield f(x)
    ws["a"] = fb.tensor(2.0)
    yield f(x)
    ws["a"] = fb.tensor([[1.0], [2.0]])
    yield f(x)
    ws["a"] = fb.tensor(3, dtype=fb.int32)
    yield f(x)


@case
def tensors_in_objects_in_lists(compile, x):
    layers = [Layer(1.0, fb.zeros(3)), Layer(2.0, fb.ones(3))]
    f = compile(lambda x: sum(x * layer.gain + layer.shift for layer in layers))
    yield f(x)
    layers[0].shift = fb.full((3,), 7.0)
    yield f(x)
    layers[1].shift += 1
    yield f(x)
    layers[0].shift = 2.0
    yield f(x)


@case
def two_names_of_one_tensor(compile, x):
    a = fb.tensor(1.0)
    b = a
    f = compile(lambda x: (a.add_(1), x * b)[1])
    yield f(x)
    b = fb.tensor(10.0)
    yield f(x)
    a = b
    yield f(x)


@case
def tensors_swapped(compile, x):
    ws = [fb.tensor(1.0), fb.tensor(2.0)]
    f = compile(lambda x: x * ws[0] - ws[1])
    yield f(x)
    ws.reverse()
    yield f(x)
    ws[0] = ws[1]
    yield f(x)


@case
def tensor_view_of_another(compile, x):
    base = fb.zeros(2, 3)
    row = base[0]
    f = compile(lambda x: x + row)
    yield f(x)
    base[0, 1] = 5.0
    yield f(x)
    row = base[:, 0].repeat(2)[:3]
    yield f(x)
    row = base.t()[:, 0]
    yield f(x)


@case
def numpy_array_written_in_place(compile, x):
    gains = np.ones(3)
    f = compile(lambda x: x * fb.tensor(gains))
    yield f(x)
    gains[1] = 5.0
    yield f(x)


@case
def big_numpy_array_written_in_place(compile, x):
    gains = np.ones(50_000)
    f = compile(lambda x: x * float(gains.sum()))
    yield f(x)
    gains[33_333] = 5.0
    yield f(x)


@case
def numpy_array_shared_with_a_tensor(compile, x):
    gains = np.ones(3)
    w = fb.from_numpy(gains)
    f = compile(lambda x: x * w)
    yield f(x)
    gains[1] = 5.0
    yield f(x)
    w[2] = 7.0
    yield f(x), gains


@case
def numpy_scalar(compile, x):
    k = np.float64(1.0)
    f = compile(lambda x: x * k)
    yield f(x)
    k = np.float64(2.0)
    yield f(x)
    k = np.int64(2)
    yield f(x)


@case
def numpy_dtype_of_the_same_values(compile, x):
    k = np.array([1, 2, 3])
    f = compile(lambda n: n * fb.tensor(k))
    n = fb.tensor([1, 2, 3])
    yield f(n)
    k = k.astype(np.float32)
    yield f(n)


@case
def shape_and_dtype_of_a_tensor_nobody_computes_with(compile, x):
    like = fb.zeros(2)
    f = compile(lambda x: fb.ones(like.shape, dtype=like.dtype) * x.sum() + like.dim())
    yield f(x)
    like = fb.zeros(3, 1)
    yield f(x)
    like = fb.zeros(2, dtype=fb.float32)
    yield f(x)


@case
def requires_grad_of_a_tensor_in_a_list(compile, x):
    ws = [fb.ones(3)]
    f = compile(lambda x: x * ws[0])
    yield f(x)
    ws[0].requires_grad_()
    y = f(x)
    yield y
    y.sum().backward()
    yield ws[0].grad


@case
def identity_of_tensors(compile, x):
    a, b = fb.ones(3), fb.ones(3)
    kept = a
    f = compile(lambda x: x if kept is a else x * 2)
    yield f(x)
    kept = b
    yield f(x)
    a = b
    yield f(x)


@case.test
def test_tensors(case: Case) -> None:
    case.check()
