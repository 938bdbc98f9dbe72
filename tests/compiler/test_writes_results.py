"""What a compiled function returns, keeps and shares: new objects at each call, and the same ones where they are the same."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Box

case = Table()


@dataclasses.dataclass
class Output:
    loss: Any
    extra: Any = None


class Pair(NamedTuple):
    a: Any
    b: Any


@case
def results_are_new_tensors(compile, x):
    f = compile(lambda x: x * 2)
    a, b = f(x), f(x)
    a.add_(1)
    yield a, b, a is b, f(x)


@case
def structures_are_new_objects(compile, x):
    f = compile(lambda x: {"y": x * 2, "parts": [x, 1], "none": None})
    a, b = f(x), f(x)
    a["parts"].append(5)
    a["y"] = 0
    yield a, b, a is b, a["parts"] is b["parts"], f(x)


@case
def dataclass_returned(compile, x):
    f = compile(lambda x, k: Output(x * k, {"k": k}))
    a, b = f(x, 1.0), f(x, 2.0)
    yield a, b, a is b
    a.loss = None
    yield f(x, 1.0)


@case
def named_tuple_returned(compile, x):
    f = compile(lambda x: Pair(x.sum(), [Pair(x, "text")]))
    a, b = f(x), f(x * 2)
    yield a, b, a.b is b.b


@case
def object_returned(compile, x):
    f = compile(lambda x: Box(y=x * 2, n=1))
    a, b = f(x), f(x * 2)
    yield vars(a), vars(b), a is b
    a.n = 5
    yield vars(f(x))


@case
def numbers_strings_and_none_returned(compile, x):
    f = compile(lambda x, k: (None, "text", k, True, 1.5, (), [], {"n": len(x)}, x.shape, x.dtype))
    yield f(x, 1), f(x, 2), f(x[:2], 3)


@case
def nothing_returned(compile, x):
    box = Box(y=None)

    def step(x):
        box.y = x * 2

    f = compile(step)
    yield f(x), box.y
    yield f(x + 1), box.y


@case
def the_argument_returned(compile, x):
    f = compile(lambda x: (x, x))
    a, b = f(x)
    yield a is x, b is x
    other = fb.ones(3)
    a, _ = f(other)
    yield a is other


@case
def the_state_returned(compile, x):
    w = fb.ones(3)
    f = compile(lambda x: (w, x * w))
    a, _ = f(x)
    yield a is w
    w.add_(1)
    yield a, f(x)
    w = fb.zeros(3)
    yield f(x)[0] is w


@case
def one_tensor_returned_twice(compile, x):
    def step(x):
        y = x * 2
        return y, [y], y.view(3, 1)

    f = compile(step)
    a, (b,), c = f(x)
    yield a is b
    a.add_(1)
    yield a, b, c


@case
def view_of_the_argument_returned(compile, x):
    f = compile(lambda x: x[1:])
    y = f(x)
    y.add_(10)
    yield x, y
    y = f(x)
    x.zero_()
    yield y


@case
def view_of_state_returned(compile, x):
    w = fb.zeros(2, 3)
    f = compile(lambda i: w[0])
    row = f(x)
    row.add_(x)
    yield w, row
    w.mul_(2)
    yield row


@case
def argument_kept(compile, x):
    box = Box(last=None)

    def step(x):
        box.last = x
        return x * 2

    f = compile(step)
    for arg in (x, x + 1, x):
        yield f(arg), box.last is arg, box.last


@case
def arguments_collected(compile, x):
    kept: list[Any] = []

    def step(x):
        kept.append(x)
        return x * len(kept)

    f = compile(step)
    args = [x, x + 1, x]
    for arg in args:
        yield f(arg), [k is a for k, a in zip(kept, args, strict=False)]
    x.zero_()
    yield kept


@case
def result_kept_and_returned(compile, x):
    box = Box(last=fb.zeros(3))

    def step(x):
        box.last = box.last + x
        return box.last

    f = compile(step)
    kept = []
    for _ in range(3):
        y = f(x)
        kept.append(y)
        yield y, y is box.last, kept
    y.zero_()
    yield f(x), kept


@case
def result_kept_in_a_structure(compile, x):
    box = Box(cache=None)

    def step(x):
        box.cache = {"k": x * 2, "v": [x * 3]}
        return box.cache["k"]

    f = compile(step)
    before = None
    for k in (1.0, 2.0, 3.0):
        y = f(x * k)
        yield y, y is box.cache["k"], box.cache, box.cache is before, before
        before = box.cache


@case
def key_value_cache_grows(compile, x):
    cache: dict[str, Any] = {"k": None}

    def step(x):
        cache["k"] = x[None] if cache["k"] is None else fb.cat([cache["k"], x[None]])
        return cache["k"].sum(0)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), cache
    cache["k"] = None
    yield f(x), cache


@case
def key_value_cache_of_fixed_size(compile, x):
    box = Box(cache=fb.zeros(4, 3), n=0)
    cache = box.cache

    def step(x):
        box.cache[box.n] = x
        box.n += 1
        return box.cache[: box.n].sum(0)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), box.n, cache, cache is box.cache


@case
def view_of_state_kept(compile, x):
    box = Box(w=fb.zeros(2, 3), row=None)

    def step(x):
        box.row = box.w[0]
        box.row.add_(x)
        return box.w.sum(0)

    f = compile(step)
    yield f(x), box.w, box.row
    box.row.zero_()
    yield box.w
    yield f(x), box.w, box.row


@case
def results_of_two_calls_share_state(compile, x):
    state = fb.zeros(3)

    def step(x):
        state.add_(x)
        return state

    f = compile(step)
    a = f(x)
    b = f(x)
    yield a is b, a is state, a, b
    b.zero_()
    yield a, f(x)


@case
def results_share_memory_within_a_call(compile, x):
    def step(x):
        y = x.repeat(2)
        return y[:3], y[3:], y

    f = compile(step)
    a, b, y = f(x)
    a.zero_()
    y[4] = 100.0
    yield a, b, y
    c, _, _ = f(x)
    yield c, a


@case
def argument_written_in_place(compile, x):
    def step(x, y):
        x.add_(1)
        y[0] = x.sum()
        return x * y

    f = compile(step)
    y = fb.zeros(3)
    yield f(x, y), x, y
    yield f(x, y), x, y
    yield f(x[1:], y[1:]), x, y
    yield f(x, x), x, y


@case(may_fall_back="an argument gets other memory")
def argument_resized_by_data(compile, x):
    def step(x):
        x.data = x.data * 2
        return x + 1

    f = compile(step)
    yield f(x), x
    yield f(x), x


@case
def iterators_returned(compile, x):
    f = compile(lambda x: [x * k for k in (1.0, 2.0)])
    yield f(x)
    g = compile(lambda x: dict(zip("ab", x.unbind()[:2], strict=True)))
    yield g(x), g(x * 2)


@case(may_fall_back="the function that is returned holds a tensor of the call")
def functions_returned(compile, x):
    def step(x):
        y = x * 2
        return lambda z: y + z

    f = compile(step)
    a, b = f(x), f(x * 10)
    yield a(x), b(x)


@case
def results_that_require_grad_where_the_caller_does_not_ask_for_it(compile, x):
    layer = fb.nn.Linear(3, 2)

    def step(x):
        with fb.enable_grad():
            y = layer(x)
        return y, y * 2

    for function in (step, fb.enable_grad()(lambda x: (layer(x), layer(x) * 2))):
        f = compile(function)
        for _ in range(2):
            with fb.no_grad():
                y, z = f(x)
            yield y, z, fb.autograd.grad(y.sum() + z.sum(), list(layer.parameters()))
        yield f(x)
        layer.bias.requires_grad_(False)
        with fb.no_grad():
            yield f(x)
        layer.bias.requires_grad_()


@case.test
def test_results(case: Case) -> None:
    case.check()
