"""Arguments of every kind and the settings around a call: both belong to what a compiled function reads."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import types
from typing import Any, NamedTuple

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table, attempt

case = Table()


@dataclasses.dataclass
class Batch:
    x: Any
    k: float = 1.0


class Pair(NamedTuple):
    a: Any
    b: Any


class Bag:
    def __init__(self, **values: Any):
        self.__dict__.update(values)


# -------------------------------------------------------------------------------------------- arguments


@case
def numbers(compile, x):
    f = compile(lambda x, k: x * k)
    for k in (1.0, 2.0, 2, True):
        yield f(x, k)


@case
def numbers_in_branches(compile, x):
    f = compile(lambda x, n: x * n if n > 2 else x - n)
    for n in (1, 3, 2, 5):
        yield f(x, n)


@case
def floats_in_branches(compile, x):
    f = compile(lambda x, k: x * k if k > 0.5 else x - k)
    for k in (0.1, 0.2, 0.7, 0.9):
        yield f(x, k)


@case
def number_that_makes_a_shape(compile, x):
    f = compile(lambda x, n: x.repeat(n) + fb.zeros(n * 3))
    for n in (1, 2, 3):
        yield f(x, n)


@case
def integer_arguments_keep_integers(compile, x):
    f = compile(lambda n, k: n * k)
    n = fb.tensor([1, 2])
    yield f(n, 2), f(n, 3), f(n, 2.0), f(n, 3.5)


@case
def float_arguments_do_not_widen(compile, x):
    f = compile(lambda x, k: x * k)
    half = x.to(fb.bfloat16)
    yield f(half, 1.0), f(half, 2.0), f(half, 4.0)


@case
def special_floats(compile, x):
    f = compile(lambda x, k: x / k)
    for k in (1.0, float("inf"), float("nan"), 0.0):
        yield f(x, k)


@case
def negative_zero(compile, x):
    f = compile(lambda x, k: x / k)
    yield f(x, 0.0), f(x, -0.0)


@case
def numbers_returned(compile, x):
    f = compile(lambda x, k: (x, k * 2, k))
    yield f(x, 1.0), f(x, 2.0), f(x, 3.0), f(x, 4)


@case
def numbers_formatted(compile, x):
    f = compile(lambda x, k: (x * k, f"{k:.2f}"))
    yield f(x, 1.0), f(x, 2.0), f(x, 3.0)


@case
def number_used_by_math(compile, x):
    import math

    f = compile(lambda x, k: x * math.sqrt(k) + round(k) + int(k))
    yield f(x, 1.0), f(x, 2.6), f(x, 9.0)


@case
def strings(compile, x):
    f = compile(lambda x, how: x.sum() if how == "sum" else x.mean())
    yield f(x, "sum"), f(x, "mean"), f(x, "sum")


@case
def none_or_tensor(compile, x):
    f = compile(lambda x, mask=None: x if mask is None else x * mask)
    yield f(x), f(x, x), f(x, None), f(x, mask=x)


@case
def keywords_reordered(compile, x):
    f = compile(lambda x, a=1.0, b=None: x * a - (0 if b is None else b))
    yield f(x, a=2.0, b=x), f(x, b=x, a=2.0), f(b=x, x=x * 2), f(a=x, x=x, b=3.0)


@case
def star_keywords(compile, x):
    f = compile(lambda **batch: sum((i + 1) * v for i, v in enumerate(batch.values())))
    yield f(a=x, b=x * 2)
    yield f(b=x * 2, a=x)
    yield f(a=x)


@case
def lists_of_tensors(compile, x):
    f = compile(lambda xs: sum((i + 1) * x for i, x in enumerate(xs)))
    yield f([x, x * 2])
    yield f([x * 2, x])
    yield f([x])
    yield f((x, x, x))


@case
def dicts_of_tensors(compile, x):
    f = compile(lambda batch: sum((i + 1) * v for i, v in enumerate(batch.values())))
    yield f({"a": x, "b": x * 2})
    yield f({"b": x * 2, "a": x})
    yield f({"a": x, "c": x * 2})


@case
def nested_arguments(compile, x):
    f = compile(lambda batch: batch["in"][0] * batch["in"][1]["k"] + len(batch["in"]))
    yield f({"in": (x, {"k": x})})
    yield f({"in": (x, {"k": 2.0})})
    yield f({"in": (x * 2, {"k": 3.0}, None)})


@case
def an_argument_list_written_between_calls(compile, x):
    ks = [1.0, 2.0]
    f = compile(lambda x, ks: x * sum(ks))
    yield f(x, ks)
    ks[0] = 5.0
    yield f(x, ks)
    ks.append(1.0)
    yield f(x, ks)


@case
def named_tuples(compile, x):
    f = compile(lambda pair: pair.a * pair.b)
    yield f(Pair(x, 2.0)), f(Pair(x, x)), f(Pair(x * 2, 3.0))


@case
def dataclass_made_anew(compile, x):
    f = compile(lambda batch: batch.x * batch.k)
    yield f(Batch(x)), f(Batch(x * 2)), f(Batch(x, 3.0)), f(Batch(fb.ones(2), 2.0))


@case
def dataclass_with_other_tensors(compile, x):
    batch = Batch(x, 2.0)
    f = compile(lambda batch: batch.x * batch.k)
    yield f(batch)
    batch.x = x + 1
    yield f(batch)
    batch.x = x[:2]
    yield f(batch)
    batch.k = x[:2]
    yield f(batch)


@case
def objects_made_anew(compile, x):
    f = compile(lambda bag: bag.x * bag.k + getattr(bag, "b", 0.0))
    yield f(Bag(x=x, k=1.0))
    yield f(Bag(x=x, k=2.0))
    yield f(Bag(x=x * 2, k=2.0, b=x))


@case
def list_of_dataclasses(compile, x):
    f = compile(lambda batches: sum(b.x * b.k for b in batches))
    yield f([Batch(x), Batch(x, 2.0)])
    yield f([Batch(x, 2.0), Batch(x * 2)])
    yield f([Batch(x)])


@case
def numpy_arguments(compile, x):
    f = compile(lambda x, a: x * fb.as_tensor(a))
    a = np.array([1.0, 2.0, 3.0])
    yield f(x, a)
    a[0] = 9.0
    yield f(x, a)
    yield f(x, a[::-1].copy())
    yield f(x, a.astype(np.int64))


@case
def numpy_scalars(compile, x):
    f = compile(lambda x, k: x * k)
    yield f(x, np.float64(1.0)), f(x, np.float64(2.0)), f(x, np.int32(2)), f(x, np.bool_(True))


@case
def enums_and_types(compile, x):
    class Mode(enum.Enum):
        A = 1
        B = 2

    f = compile(lambda x, mode, kind: (x if mode is Mode.A else -x).to(kind))
    yield f(x, Mode.A, fb.float64), f(x, Mode.B, fb.float64), f(x, Mode.A, fb.int64)


@case
def functions_as_arguments(compile, x):
    k = 1.0
    f = compile(lambda g, x: g(x))
    yield f(fb.sin, x), f(fb.cos, x), f(lambda x: x * k, x)
    k = 2.0
    yield f(lambda x: x * k, x)


@case
def one_function_with_other_closures(compile, x):
    def make(k):
        return lambda x: x * k

    f = compile(lambda g, x: g(x))
    yield f(make(1.0), x), f(make(2.0), x), f(make(x), x)


@case
def sizes_and_slices(compile, x):
    f = compile(lambda x, size, part: x.reshape(size)[part])
    x = fb.arange(6.0)
    yield f(x, (2, 3), slice(0, 1)), f(x, (3, 2), slice(0, 1)), f(x, x.view(3, 2).shape, slice(1, None))


@case
def generator_argument(compile, x):
    f = compile(lambda xs: sum(xs))
    yield f(x * i for i in range(3))
    yield f(x * i for i in range(4))


@case
def sets_and_deques_of_numbers(compile, x):
    f = compile(lambda x, ks: x * sum(ks))
    yield f(x, {1.0, 2.0}), f(x, {1.0, 3.0}), f(x, collections.deque([1.0])), f(x, collections.deque([2.0]))


@case
def range_argument(compile, x):
    f = compile(lambda x, steps: x * sum(steps))
    yield f(x, range(3)), f(x, range(4)), f(x, range(1, 4))


@case
def python_lists_made_tensors(compile, x):
    f = compile(lambda ks: fb.tensor(ks) * 2)
    yield f([1.0, 2.0]), f([1.0, 3.0]), f([1, 2]), f([[1.0]])


@case
def other_shapes_and_dtypes(compile, x):
    f = compile(lambda x: x * 2 + x.shape[0])
    yield f(x), f(x[:2]), f(x.float()), f(x.long())


@case
def views_and_the_tensor_twice(compile, x):
    f = compile(lambda a, b: (a.add_(1), a * b)[1])
    yield f(x, x), x
    yield f(x, x[:1]), x
    yield f(x[1:], x[:2]), x
    yield f(x, fb.ones(3)), x


@case(may_fall_back="strides of arguments that are not contiguous")
def transposed_and_strided(compile, x):
    f = compile(lambda a: (a * 2, a.stride(), a.is_contiguous()))
    a = fb.arange(6.0).view(2, 3)
    yield f(a), f(a.t()), f(a[:, ::2]), f(a[0].expand(2, 3))


@case
def requires_grad_of_arguments(compile, x):
    f = compile(lambda a: (a * 2).sum())
    yield f(x)
    x.requires_grad_()
    y = f(x)
    y.backward()
    yield y, x.grad
    yield f((x * 3)[1:])


@case
def argument_with_a_graph_behind_it(compile, x):
    w = fb.ones(3, requires_grad=True)
    f = compile(lambda a: a.sin().sum())
    f(w * x).backward()
    yield w.grad
    f(w * 2).backward()
    yield w.grad


@case
def missing_and_extra_arguments(compile, x):
    f = compile(lambda a, b: a + b)
    yield attempt(f, x), attempt(f, x, x, x), attempt(f, x, c=x), f(x, x)


@case
def errors_of_the_function(compile, x):
    def f(x):
        if x.shape[0] == 2:
            raise ValueError("two")
        return x

    g = compile(f)
    yield g(x), attempt(g, x[:2]), attempt(g, x[:2]), g(x)


@case
def errors_of_operators(compile, x):
    f = compile(lambda a, b: a @ b)
    yield f(x, x), attempt(f, x, x[:2]), attempt(f, fb.ones(2, 3), fb.ones(2, 3)), f(x, x)


# ------------------------------------------------------------------------------------------ surroundings


@case
def default_dtype(compile, x):
    f = compile(lambda: fb.ones(2) / 3)
    yield f()
    fb.set_default_dtype(fb.float32)
    yield f().double() - 1 / 3 < 1, f().dtype
    fb.set_default_dtype(fb.float64)
    yield f()


@case
def grad_mode(compile, x):
    w = fb.ones(3, requires_grad=True)
    f = compile(lambda x: x * w)
    yield f(x)
    with fb.no_grad():
        yield f(x)
    yield f(x)
    with fb.inference_mode():
        y = f(x)
        yield y.tolist(), y.requires_grad


@case
def is_grad_enabled_asked(compile, x):
    f = compile(lambda x: x * 2 if fb.is_grad_enabled() else x)
    yield f(x)
    with fb.no_grad():
        yield f(x)
    fb.set_grad_enabled(False)
    yield f(x)
    fb.set_grad_enabled(True)
    yield f(x)


@case
def autocast(compile, x):
    w = fb.ones(3, 3, dtype=fb.float32)
    f = compile(lambda x: x @ w)
    x = x.float()
    yield f(x)
    with fb.autocast("cpu", dtype=fb.bfloat16):
        yield f(x)
    yield f(x)
    with fb.autocast("cpu", dtype=fb.float16):
        yield f(x)


@case
def default_generator(compile, x):
    f = compile(lambda x: x * fb.rand(3))
    yield f(x), f(x)
    fb.manual_seed(5)
    yield f(x)
    fb.manual_seed(5)
    yield f(x), fb.rand(2)


@case
def own_generator(compile, x):
    g = fb.Generator().manual_seed(1)
    f = compile(lambda x: x * fb.rand(3, generator=g))
    yield f(x), f(x)
    g.manual_seed(1)
    yield f(x)
    g = fb.Generator().manual_seed(7)
    yield f(x), fb.rand(1, generator=g)


@case
def which_tensor_it_is(compile, x):
    box = types.SimpleNamespace(x=x)
    f = compile(lambda y: y * 2 if y is box.x else y)
    yield f(x)
    yield f(x * 1)
    box.x = x * 1
    yield f(x)
    yield f(box.x)


@case
def which_tensor_of_a_list_it_is(compile, x):
    rows = [x, x * 2]
    f = compile(lambda y: [i for i, row in enumerate(rows) if row is y])
    yield f(x)
    yield f(x * 1)
    yield f(rows[1])
    rows.reverse()
    yield f(x)


@case
def tensor_as_a_key(compile, x):
    table, ids = {x: 2.0}, {id(x): 3.0}
    f = compile(lambda y: y * table.get(y, 5.0) * ids.get(id(y), 7.0))
    yield f(x)
    yield f(x * 1)
    table[x] = 3.0
    yield f(x)


@case
def keywords_of_a_partial(compile, x):
    def scaled(y, k, table):
        return y * k * table["k"]

    table = {"k": 2.0}
    part = functools.partial(scaled, k=3.0, table=table)
    f = compile(lambda y: part(y))
    yield f(x)
    table["k"] = 5.0
    yield f(x)
    part.keywords["k"] = 7.0
    yield f(x)


@case
def detached_state_is_a_new_tensor_at_each_call(compile, x):
    w = fb.ones(3, requires_grad=True)
    f = compile(lambda: w.detach())
    for _ in range(3):
        r = f()
        yield r, r.requires_grad
        r.mul_(2)
        yield w
        r.requires_grad_(True)


class Settings(dict):
    """Entries as attributes, as many packages write it: what is missing is a KeyError."""

    __getattr__ = dict.__getitem__


@case
def a_dict_with_attributes_that_raises_key_errors(compile, x):
    def step(settings, x):
        return x * settings.k + len(settings.names)

    f, settings = compile(step), Settings(k=2.0, names=["a"])
    for k in range(3):
        yield f(settings, x)
        settings["k"] += 1
        settings.names.append(k)
    yield attempt(lambda: f(Settings(k=1.0), x))


@case.test
def test_arguments(case: Case) -> None:
    case.check()
