"""Containers of every kind, size and depth that a compiled function reads, and the ways to read them."""

from __future__ import annotations

import array
import collections
import dataclasses
import functools
import itertools
import operator
import warnings
from typing import Any

import pytest

import flambeau as fb
from compiler.scenarios import Case, Table, attempt

case = Table()


@dataclasses.dataclass
class Layer:
    gain: float
    shift: Any = 0.0


# ------------------------------------------------------------------------------------------------ kinds


@case
def list_item(compile, x):
    ks = [1.0, 2.0]
    f = compile(lambda x: x * ks[0] + ks[-1])
    yield f(x)
    ks[0] = 3.0
    yield f(x)
    ks.append(9.0)
    yield f(x)


@case
def list_replaced_by_an_equal_tuple(compile, x):
    ks = [1.0, 2.0]
    f = compile(lambda x: x * sum(ks) + isinstance(ks, tuple))
    yield f(x)
    ks = (1.0, 2.0)
    yield f(x)


@case
def list_inside_a_tuple(compile, x):
    pair = (1.0, [2.0])
    f = compile(lambda x: x * pair[0] + pair[1][0])
    yield f(x)
    pair[1][0] = 5.0
    yield f(x)
    pair[1].insert(0, 7.0)
    yield f(x)


@case
def deeply_nested_list(compile, x):
    leaf = [1.0]
    nested = leaf
    for _ in range(30):
        nested = [nested]

    def read(value):
        while isinstance(value[0], list):
            value = value[0]
        return value[0]

    f = compile(lambda x: x * read(nested))
    yield f(x)
    leaf[0] = 2.0
    yield f(x)


@case
def list_that_holds_itself(compile, x):
    ks: list[Any] = [1.0]
    ks.append(ks)
    f = compile(lambda x: x * ks[1][1][0])
    yield f(x)
    ks[0] = 3.0
    yield f(x)


@case
def big_list(compile, x):
    ks = [1.0] * 10_000
    f = compile(lambda x: x * sum(ks))
    yield f(x)
    ks[7_777] = 5.0
    yield f(x)
    ks.pop()
    yield f(x)


@case
def big_list_one_item(compile, x):
    ks = list(range(10_000))
    f = compile(lambda x: x * ks[5_000])
    yield f(x)
    ks[5_000] = -1
    yield f(x)
    ks[4_999] = -7
    yield f(x)


@case
def big_dict(compile, x):
    table = {str(i): float(i) for i in range(10_000)}
    f = compile(lambda x: x * table["9000"] + len(table))
    yield f(x)
    table["9000"] = 1.0
    yield f(x)
    table["new"] = 1.0
    yield f(x)


@case
def big_list_of_lists(compile, x):
    rows = [[float(i), float(j)] for i in range(100) for j in range(30)]
    f = compile(lambda x: x * sum(b for _, b in rows))
    yield f(x)
    rows[2_999][1] = 1000.0
    yield f(x)


@case
def dict_items_keys_values(compile, x):
    table = {"a": 1.0, "b": 2.0}
    f = compile(
        lambda x: x * sum(table.values()) + sum(len(k) for k in table) + sum(v for k, v in table.items() if k > "a")
    )
    yield f(x)
    table["b"] = 3.0
    yield f(x)
    table["long name"] = 0.0
    yield f(x)
    del table["a"]
    yield f(x)


@case
def order_of_a_dict(compile, x):
    table = {"double": 2.0, "half": 0.5}
    f = compile(lambda x: x + next(iter(table.values())))
    yield f(x)
    table["double"] = table.pop("double")
    yield f(x)


@case
def dict_get_and_in(compile, x):
    table: dict[str, float] = {}
    f = compile(lambda x: x * table.get("k", 1.0) + (5 if "b" in table else 0))
    yield f(x)
    table["k"] = 2.0
    yield f(x)
    table["b"] = 0.0
    yield f(x)
    table.clear()
    yield f(x)


@case
def key_error_then_key(compile, x):
    table: dict[str, float] = {}
    f = compile(lambda x: x * table["k"])
    yield attempt(f, x)
    table["k"] = 2.0
    yield f(x)
    del table["k"]
    yield attempt(f, x)


@case
def dict_key_chosen_by_state(compile, x):
    table, chosen = {"a": 1.0, "b": 2.0}, ["a"]
    f = compile(lambda x: x * table[chosen[0]])
    yield f(x)
    chosen[0] = "b"
    yield f(x)
    table["b"] = 7.0
    yield f(x)


@case
def key_made_by_formatting(compile, x):
    table, depth = {"layer_0.gain": 1.0, "layer_1.gain": 2.0}, 0
    f = compile(lambda x: x * table[f"layer_{depth}.gain"] + table[f"layer_{depth}.gain"])
    yield f(x)
    depth = 1
    yield f(x)
    table["layer_1.gain"] = 5.0
    yield f(x)


@case
def keys_of_other_types(compile, x):
    table = {(0, 1): 1.0, None: 2.0, 3: 3.0, float: 4.0, frozenset({1}): 5.0}
    f = compile(lambda x: x * table[0, 1] + table[None] * table[3] + table[float] - table[frozenset({1})])
    yield f(x)
    table[0, 1], table[float] = 10.0, 20.0
    yield f(x)
    table[frozenset({1})] = 0.0
    yield f(x)


@case
def sets(compile, x):
    on = {"a"}
    f = compile(lambda x: x * (2 if "a" in on else 3) + len(on))
    yield f(x)
    on.add("b")
    yield f(x)
    on.discard("a")
    yield f(x)


@case
def frozenset_replaced(compile, x):
    on = frozenset({1, 2})
    f = compile(lambda x: x * sum(on))
    yield f(x)
    on = frozenset({1, 2, 10})
    yield f(x)


@case
def deque_rotated(compile, x):
    ring = collections.deque([1.0, 2.0, 3.0], maxlen=3)
    f = compile(lambda x: x * ring[0])
    yield f(x)
    ring.rotate(1)
    yield f(x)
    ring.append(9.0)
    yield f(x)


@case
def counter(compile, x):
    counts = collections.Counter("aab")
    f = compile(lambda x: x * counts["a"] + counts["missing"] + counts.most_common(1)[0][1])
    yield f(x)
    counts.update("aaa")
    yield f(x)
    counts["missing"] = 50
    yield f(x)


@case
def default_dict(compile, x):
    groups = collections.defaultdict(list, a=[1.0])
    f = compile(lambda x: x * sum(groups["a"]) + len(groups["b"]))
    yield f(x), dict(groups)
    groups["a"].append(2.0)
    yield f(x)
    groups["b"].append(2.0)
    yield f(x)


@case
def ordered_dict(compile, x):
    order = collections.OrderedDict(a=1.0, b=2.0)
    f = compile(lambda x: x - next(iter(order.values())))
    yield f(x)
    order.move_to_end("a")
    yield f(x)


@case
def chain_map(compile, x):
    user: dict[str, float] = {}
    settings = collections.ChainMap(user, {"gain": 1.0})
    f = compile(lambda x: x * settings["gain"])
    yield f(x)
    user["gain"] = 2.0
    yield f(x)


@case
def subclass_of_dict_with_attributes(compile, x):
    class AttrDict(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__

    cfg = AttrDict(lr=1.0, net=AttrDict(width=2))
    f = compile(lambda x: x * cfg.lr + cfg.net.width)
    yield f(x)
    cfg.lr = 2.0
    yield f(x)
    cfg.net.width = 5
    yield f(x)


@case
def subclass_of_list(compile, x):
    class Gains(list):
        bias = 0.0

    gains = Gains([1.0])
    f = compile(lambda x: x * gains[0] + gains.bias)
    yield f(x)
    gains.bias = 3.0
    yield f(x)
    gains[0] = 2.0
    yield f(x)


@case
def objects_inside_a_list(compile, x):
    layers = [Layer(1.0), Layer(2.0)]

    def step(x):
        for layer in layers:
            x = x * layer.gain + layer.shift
        return x

    f = compile(step)
    yield f(x)
    layers[1].gain = 3.0
    yield f(x)
    layers.append(Layer(0.5, 1.0))
    yield f(x)
    layers.reverse()
    yield f(x)


@case
def dict_of_objects(compile, x):
    layers = {"a": Layer(1.0), "b": Layer(2.0)}
    f = compile(lambda x: x * layers["a"].gain + sum(v.gain for v in layers.values()))
    yield f(x)
    layers["a"].gain = 3.0
    yield f(x)
    layers["b"] = Layer(9.0)
    yield f(x)


@case
def strings_and_bytes(compile, x):
    name, raw = "relu", bytearray(b"\x01\x02")
    f = compile(lambda x: getattr(fb, name)(x - 2) * raw[1])
    yield f(x)
    name = "tanh"
    yield f(x)
    raw[1] = 5
    yield f(x)


@case
def array_of_the_standard_library(compile, x):
    ks = array.array("d", [1.0, 2.0])
    f = compile(lambda x: x * ks[1])
    yield f(x)
    ks[1] = 5.0
    yield f(x)


@case
def range_and_slice_objects(compile, x):
    part, steps = slice(0, 2), range(3)
    f = compile(lambda x: x[part] * sum(steps))
    yield f(x)
    part = slice(1, 3)
    yield f(x)
    steps = range(5)
    yield f(x)


# --------------------------------------------------------------------------------------- ways of reading


@case
def comprehension_over_state(compile, x):
    ks = [1.0, 2.0]
    f = compile(lambda x: sum([x * k for k in ks]) + sum({k: k for k in ks}))
    yield f(x)
    ks.append(3.0)
    yield f(x)
    ks[0] = -1.0
    yield f(x)


@case
def generator_over_state(compile, x):
    ks = [1.0, 2.0]

    def terms(x):
        for k in ks:
            yield x * k

    f = compile(lambda x: sum(terms(x)))
    yield f(x)
    ks[1] = 5.0
    yield f(x)


@case
def zip_enumerate_reversed_sorted(compile, x):
    a, b = [3.0, 1.0], [5.0, 7.0]

    def step(x):
        for i, (p, q) in enumerate(zip(reversed(a), sorted(b, reverse=True), strict=True)):
            x = x * p + q * i
        return x

    f = compile(step)
    yield f(x)
    a[0] = 2.0
    yield f(x)
    b[0] = 100.0
    yield f(x)


@case
def unpacking(compile, x):
    ks = [1.0, 2.0, 3.0]

    def step(x):
        first, *rest = ks
        return x * first + sum(rest)

    f = compile(step)
    yield f(x)
    ks[0] = 2.0
    yield f(x)
    ks.append(4.0)
    yield f(x)


@case
def star_arguments_from_state(compile, x):
    args, kwargs = [2.0], {"c": 1.0}

    def helper(x, a, b=0.0, c=0.0, d=0.0):
        return x * a + b + c * 10 + d * 100

    f = compile(lambda x: helper(x, *args, **kwargs))
    yield f(x)
    args.append(5.0)
    yield f(x)
    kwargs["d"] = 1.0
    yield f(x)


@case
def truth_of_containers(compile, x):
    ks: list[float] = []
    f = compile(lambda x: x * 2 if ks else x)
    yield f(x)
    ks.append(0.0)
    yield f(x)
    ks.clear()
    yield f(x)


@case
def any_all_min_max(compile, x):
    flags, ks = [True, False], [1.0, 4.0]
    f = compile(lambda x: x * max(ks) + min(ks, default=0.0) + any(flags) * 10 + all(flags) * 100)
    yield f(x)
    flags[1] = True
    yield f(x)
    ks.append(8.0)
    yield f(x)


@case
def slices_and_negative_indices(compile, x):
    ks = [1.0, 2.0, 3.0, 4.0]
    f = compile(lambda x: x * sum(ks[1:3]) + ks[-1])
    yield f(x)
    ks[2] = 10.0
    yield f(x)
    ks[-1] = 0.0
    yield f(x)


@case
def map_filter_itertools(compile, x):
    ks = [1.0, -2.0, 3.0]
    f = compile(lambda x: x * sum(map(abs, ks)) + sum(filter(lambda k: k > 0, ks)) + sum(itertools.chain(ks, ks)))
    yield f(x)
    ks[1] = -5.0
    yield f(x)
    ks.append(1.0)
    yield f(x)


@case
def match_statement(compile, x):
    rule: Any = ("scale", 2.0)

    def step(x):
        match rule:
            case ("scale", k):
                return x * k
            case {"shift": k}:
                return x + k
            case [a, *_]:
                return x - a
            case _:
                return x

    f = compile(step)
    yield f(x)
    rule = {"shift": 5.0}
    yield f(x)
    rule["shift"] = 6.0
    yield f(x)
    rule = [3.0, 4.0]
    yield f(x)


@case
def functions_in_a_list(compile, x):
    stages = [fb.sin, lambda x: x * 2]

    def step(x):
        for stage in stages:
            x = stage(x)
        return x

    f = compile(step)
    yield f(x)
    stages[0] = fb.cos
    yield f(x)
    stages.append(lambda x: x + 1)
    yield f(x)


@case
def functions_in_a_dict_with_state(compile, x):
    def make(k):
        def scale(x):
            return x * k[0]

        return scale

    k = [1.0]
    table = {"a": make(k), "b": make([10.0])}
    f = compile(lambda x: table["a"](x) + table["b"](x))
    yield f(x)
    k[0] = 2.0
    yield f(x)
    table["b"] = make([100.0])
    yield f(x)


@case
def recursion_over_a_tree(compile, x):
    tree = {"gain": 1.0, "children": [{"gain": 2.0, "children": []}]}

    def total(node):
        return node["gain"] + sum(total(child) for child in node["children"])

    f = compile(lambda x: x * total(tree))
    yield f(x)
    tree["children"][0]["gain"] = 5.0
    yield f(x)
    tree["children"][0]["children"].append({"gain": 7.0, "children": []})
    yield f(x)


@case(may_fall_back="an iterator cannot be looked into")
def iterator_kept_outside(compile, x):
    it = iter([1.0, 2.0, 3.0])
    f = compile(lambda x: x * next(it))
    yield f(x)
    yield f(x)
    yield f(x)
    yield attempt(f, x)


@case(may_fall_back="an iterator cannot be looked into")
def itertools_cycle_and_count(compile, x):
    gains, numbers = itertools.cycle([1.0, 2.0]), itertools.count(1)
    f = compile(lambda x: x * next(gains) + next(numbers))
    yield f(x)
    yield f(x)
    yield f(x)


TAKES = {
    "islice": lambda it: sum(itertools.islice(it, 2)),
    "chain": lambda it: next(itertools.chain(it)),
    "tee": lambda it: next(itertools.tee(it)[0]),
    "reduce": lambda it: functools.reduce(operator.add, itertools.islice(it, 3)),
    "takewhile": lambda it: 1 + sum(itertools.takewhile(lambda v: v % 3, it)),
    "fromkeys": lambda it: max(dict.fromkeys(itertools.islice(it, 2))),
    "in a list": lambda it: next(itertools.chain(*[it])),
}


@pytest.mark.parametrize("name", TAKES)
def test_iterators_given_to_functions_in_c(name: str) -> None:
    """What such a function takes from an iterator that was there before is gone at the next call."""
    take, results = TAKES[name], []
    for compile in (lambda function: function, fb.compile):
        it = iter([float(i) for i in range(1, 40)])
        f = compile(lambda x, it=it: x * take(it))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*iterator.* that was there before")
            results.append([f(fb.ones(())).item() for _ in range(3)] + [next(it)])
    assert results[0] == results[1]


@case.test
def test_containers(case: Case) -> None:
    case.check()
