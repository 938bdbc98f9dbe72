"""What a compiled function reads through names is seen anew at each call."""

from __future__ import annotations

import functools
import math
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Box

case = Table()

SCALE: Any = 1.0
LAYERS: list[Any] = []
TABLE: dict[str, Any] = {}


def scaled(x):
    return x * SCALE


def scaled_by_a_helper(x):
    return scaled(x) + 0


def weight_of(box):
    return box.w


def times_weight(box, x):
    return x * weight_of(box)


@case
def global_number(compile, x):
    global SCALE
    SCALE = 1.0
    f = compile(lambda x: x * SCALE)
    yield f(x)
    SCALE = 2.0
    yield f(x)
    SCALE = 1.0
    yield f(x)


@case
def global_number_to_tensor_and_back(compile, x):
    global SCALE
    SCALE = 1.0
    f = compile(lambda x: x * SCALE)
    yield f(x)
    SCALE = fb.tensor(3.0)
    yield f(x)
    SCALE = 4
    yield f(x)


@case
def global_read_in_a_helper_of_a_helper(compile, x):
    global SCALE
    SCALE = 1.0
    f = compile(lambda x: scaled_by_a_helper(x))
    yield f(x)
    SCALE = 2.0
    yield f(x)


@case
def global_by_globals(compile, x):
    global SCALE
    SCALE = 1.0
    f = compile(lambda x: x * globals()["SCALE"])
    yield f(x)
    SCALE = 2.0
    yield f(x)


@case
def global_list(compile, x):
    LAYERS[:] = [1.0]
    f = compile(lambda x: x + sum(LAYERS))
    yield f(x)
    LAYERS.append(5.0)
    yield f(x)
    LAYERS[0] = 2.0
    yield f(x)


@case
def global_dict_by_key(compile, x):
    TABLE.clear()
    TABLE["a"] = 1.0
    f = compile(lambda x: x * TABLE["a"])
    yield f(x)
    TABLE["a"] = 2.0
    yield f(x)


@case
def global_function_rebound(compile, x):
    global SCALE
    SCALE = fb.sin
    f = compile(lambda x: SCALE(x))
    yield f(x)
    SCALE = fb.cos
    yield f(x)
    SCALE = lambda x: x * 2  # noqa: E731
    yield f(x)


@case
def global_shadows_a_builtin(compile, x):
    f = compile(lambda x: x * len(LAYERS))
    LAYERS[:] = [1, 2]
    yield f(x)
    globals()["len"] = lambda items: 10
    try:
        yield f(x)
    finally:
        del globals()["len"]
    yield f(x)


@case
def global_appears(compile, x):
    globals().pop("NEW", None)
    f = compile(lambda x: x * globals().get("NEW", 1.0))
    yield f(x)
    globals()["NEW"] = 3.0
    yield f(x)
    del globals()["NEW"]
    yield f(x)


@case
def global_deleted_raises(compile, x):
    globals()["GONE"] = 2.0
    f = compile(lambda x: x * GONE)  # noqa: F821
    yield f(x)
    del globals()["GONE"]
    yield attempt(f, x)
    globals()["GONE"] = 4.0
    yield f(x)
    del globals()["GONE"]


@case
def closure_number(compile, x):
    k = 1.0
    f = compile(lambda x: x * k)
    yield f(x)
    k = 2.0
    yield f(x)


@case
def closure_of_a_closure(compile, x):
    k = 1.0

    def outer():
        def inner(x):
            return x * k

        return inner

    inner = outer()
    f = compile(lambda x: inner(x))
    yield f(x)
    k = 2.0
    yield f(x)


@case
def closure_tensor_replaced(compile, x):
    w = fb.tensor(1.0)
    f = compile(lambda x: x * w)
    yield f(x)
    w = fb.tensor(2.0)
    yield f(x)
    w.fill_(7.0)
    yield f(x)
    w = fb.tensor([1, 2, 3])
    yield f(x)


@case
def closure_function_rebound(compile, x):
    act = fb.relu
    f = compile(lambda x: act(x - 2))
    yield f(x)
    act = fb.tanh
    yield f(x)


@case
def closure_number_becomes_none(compile, x):
    k = 2.0
    f = compile(lambda x: x if k is None else x * k)
    yield f(x)
    k = None
    yield f(x)
    k = 3.0
    yield f(x)


@case
def int_becomes_float_of_the_same_value(compile, x):
    k = 2
    f = compile(lambda n: n * k)
    n = fb.tensor([1, 2])
    yield f(n)
    k = 2.0
    yield f(n)
    k = True
    yield f(n)
    k = 1
    yield f(n)


@case
def true_becomes_one(compile, x):
    k = True
    f = compile(lambda x: x * 10 if k is True else x)
    yield f(x)
    k = 1
    yield f(x)


@case
def zero_becomes_negative_zero(compile, x):
    k = 0.0
    f = compile(lambda x: x * math.copysign(1.0, k))
    yield f(x)
    k = -0.0
    yield f(x)


@case
def number_becomes_nan(compile, x):
    k = 1.0
    f = compile(lambda x: x if k != k else x * k)
    yield f(x)
    k = float("nan")
    yield f(x)
    yield f(x)
    k = float("inf")
    yield f(x)


@case
def huge_integers(compile, x):
    k = 10**30
    f = compile(lambda x: x * (k % 7))
    yield f(x)
    k += 1
    yield f(x)


@case
def complex_number(compile, x):
    k = 1 + 2j
    f = compile(lambda x: x * k.imag + k.real)
    yield f(x)
    k = 1 + 3j
    yield f(x)


@case
def default_argument(compile, x):
    def f(x, k=1.0):
        return x * k

    g = compile(f)
    yield g(x)
    f.__defaults__ = (2.0,)
    yield g(x)


@case
def default_argument_is_a_list(compile, x):
    held = [1.0]

    def f(x, ks=held):
        return x * sum(ks)

    g = compile(f)
    yield g(x)
    held.append(2.0)
    yield g(x)


@case
def keyword_default(compile, x):
    def f(x, *, k=1.0):
        return x * k

    g = compile(f)
    yield g(x)
    f.__kwdefaults__["k"] = 2.0
    yield g(x)


@case
def default_of_a_helper(compile, x):
    def helper(x, k=1.0, *, b=0.0):
        return x * k + b

    g = compile(lambda x: helper(x))
    yield g(x)
    helper.__defaults__ = (2.0,)
    yield g(x)
    helper.__kwdefaults__ = {"b": 5.0}
    yield g(x)


@case
def code_of_a_helper_is_replaced(compile, x):
    def helper(x):
        return x * 2

    def other(x):
        return x * 3

    g = compile(lambda x: helper(x))
    yield g(x)
    helper.__code__ = other.__code__
    yield g(x)


@case
def partial_with_object(compile, x):
    box = Box(w=1.0)
    f = compile(functools.partial(times_weight, box))
    yield f(x)
    box.w = 2.0
    yield f(x)


@case
def partial_called_inside(compile, x):
    box = Box(w=1.0)
    g = functools.partial(times_weight, box)
    f = compile(lambda x: g(x))
    yield f(x)
    box.w = 2.0
    yield f(x)
    g = functools.partial(times_weight, Box(w=5.0))
    yield f(x)


@case
def function_attribute(compile, x):
    def f(x):
        return x * f.k

    f.k = 1.0
    g = compile(f)
    yield g(x)
    f.k = 2.0
    yield g(x)


@case
def decorated_function(compile, x):
    settings = {"gain": 1.0}

    def with_gain(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) * settings["gain"]

        return wrapper

    @compile
    @with_gain
    def f(x):
        return x + 1

    yield f(x)
    settings["gain"] = 3.0
    yield f(x)


@case
def cached_helper(compile, x):
    @functools.lru_cache
    def gain(n):
        return n * 2.0

    n = 1
    f = compile(lambda x: x * gain(n))
    yield f(x)
    n = 2
    yield f(x)


@case.test
def test_names(case: Case) -> None:
    case.check()
