"""Tensors and NumPy arrays that a compiled function finds in names, containers and objects."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn

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


@case
def shape_changed_in_place_of_a_tensor_nobody_computes_with(compile, x):
    held, layer, kept = fb.ones(2, 3), nn.Linear(2, 2), [fb.ones(2)]
    seen = [
        compile(lambda x: x + held.dim() * 100 + held.shape[0]),
        compile(lambda x: x + sum(p.numel() for p in layer.parameters())),
        compile(lambda x: x + fb.zeros_like(layer.weight).numel() + max(len(v) for v in kept)),
        compile(lambda x: x.to(layer.weight.dtype)),
    ]
    yield [f(x) for f in seen]
    held.unsqueeze_(0)
    yield [f(x) for f in seen]
    layer.weight.data = fb.ones(4, 2)
    yield [f(x) for f in seen]
    kept[0].resize_(5)
    held.data = fb.ones(1)
    yield [f(x) for f in seen]
    layer.weight.data = layer.weight.data.float()
    yield [f(x) for f in seen]


@case(programs=2)
def an_attribute_that_a_parameter_does_not_have_yet(compile, x):
    weight = nn.Parameter(fb.ones(3))

    def count(x):
        weight.calls = getattr(weight, "calls", 0) + 1
        return x * weight + weight.calls

    f = compile(count)
    for _ in range(4):
        yield f(x), weight.calls
    del weight.calls
    yield f(x), weight.calls


@case
def an_attribute_of_a_tensor_taken_away(compile, x):
    held = fb.ones(3)

    def toggle(x):
        try:
            del held.mark
        except AttributeError:
            return -x
        return x * held

    f = compile(toggle)
    for mark in (True, False, True, True, False):
        if mark:
            held.mark = 1
        yield f(x), hasattr(held, "mark")


@case(may_fall_back="a DataLoader sets its attributes in a way of its own")
def an_attribute_of_a_loader_set(compile, x):
    loader = fb.utils.data.DataLoader([1, 2])

    def count(x):
        loader.epoch = getattr(loader, "epoch", 0) + 1
        return x + loader.epoch

    f = compile(count)
    for _ in range(3):
        yield f(x), loader.epoch


@case
def methods_of_tensors_and_modules_replaced(compile, x):
    layer = nn.Linear(3, 1)
    f, g = compile(lambda: layer(x)), compile(lambda x: x.mean() * 2)
    yield f(), g(x)
    mean, call = fb.Tensor.mean, nn.Module.__call__
    try:
        fb.Tensor.mean = lambda self: mean(self) + 5
        nn.Module.__call__ = lambda self, *args: call(self, *args) * 3
        yield f(), g(x)
    finally:
        fb.Tensor.mean, nn.Module.__call__ = mean, call
    yield f(), g(x)


@case.test
def test_tensors(case: Case) -> None:
    case.check()
