"""Lists, dicts and records that the caller gives, changed in every way, and containers into which much is put at once."""

from __future__ import annotations

import collections
import dataclasses
import operator
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Box

case = Table()


@dataclasses.dataclass
class Pair:
    a: Any = 1
    b: Any = 2.0


def _by_items(o, x):
    o.update([("b", x.sum())])


def _by_zip(o, x):
    o.update(zip("ab", (x.sum(), len(o)), strict=False))


def _by_another_kind(o, x):
    o.update(collections.ChainMap({"a": x * 2}))


def _by_keywords(o, x):
    o.update({"a": 5}, c=x.sum())


def _by_sign(o, x):
    o |= {"b": x.sum()}


def _by_operator(o, x):
    operator.ior(o, {"b": x.shape[0]})


def _by_a_bound_method(o, x):
    put = o.update
    put({"b": 1})
    put(c=2)


def _taken_out_and_put_back(o, x):
    value = o.pop("a")
    o.update(a=value)


FILLING = [value for name, value in list(globals().items()) if name.startswith(("_by_", "_taken_"))]


@pytest.mark.parametrize(
    ("where", "kind"), [("argument", dict), ("within", collections.OrderedDict), ("outside", dict)]
)
@pytest.mark.parametrize("fill", FILLING, ids=lambda f: f.__name__[1:])
def test_dict_filled(fill, where, kind) -> None:
    def scenario(compile, x):
        held = kind()

        def step(x, o=held):
            fill(o["q"][0] if where == "within" else o, x)
            return x * 2

        f = compile(step)
        for entries in ({"a": 1, "b": 3}, {"b": 3, "a": 1}, {"a": 5, "b": 1}):
            o = held if where == "outside" else kind()
            o.clear()
            o.update(entries)
            yield (f(x) if where == "outside" else f(x, {"q": [o]} if where == "within" else o)), list(o.items())

    Case(scenario).check()


@case
def what_is_as_it_was_was_put_there_too(compile, x):
    """At the first call nothing changes."""
    held, known = {"a": 1, "n": 0}, {1, 2}

    def step(x):
        table, numbers = held, known
        table |= dict(a=1)  # noqa: C408
        numbers |= set([1])  # noqa: C405
        return x * 2

    f = compile(step)
    for k in (1, 7, 1, 9):
        held["a"] = k
        held["n"] += 1
        known.clear()
        known.update({k, 2})
        yield f(x), held, sorted(known)


@case
def parts_of_an_argument_change_places(compile, x):
    def step(x, o):
        o[0], o[1] = o[1], o[0]
        return x * 2

    f = compile(step)
    for make in (lambda: [1, 2], lambda: [[1], 2], lambda: [2, [1]], lambda: [[1], [2]], lambda: [{"a": 1}, [x]]):
        o = make()
        first, second = o
        yield f(x, o), o, o[0] is second, o[1] is first


@case
def fields_of_an_argument_change_places(compile, x):
    def step(x, o):
        o.a, o.b = o.b, o.a
        o.a.append(x.sum())
        return x * 2

    f = compile(step)
    for _ in range(2):
        o = Pair([1], [2, 3])
        yield f(x, o), o.a, o.b


@case
def part_of_an_argument_taken_out_and_kept_elsewhere(compile, x):
    def step(x, o):
        last = o.pop()
        o.append(last)
        o[0].append(last)
        o[1].append(x.shape[0])
        return last

    f = compile(step)
    for _ in range(2):
        o = [[], [1]]
        last = o[1]
        yield f(x, o) is last, o, last, o[0][0] is last


@case(may_fall_back="whose calls nobody can see")
def method_of_an_argument_handed_to_code_in_c(compile, x):
    def step(x, o):
        list(map(o.pop, list(o)))
        return x * 2

    f = compile(step)
    for _ in range(2):
        o = {"a": 1, "b": x}
        yield f(x, o), o


@case
def attribute_of_the_class_comes_to_light(compile, x):
    """What the instance has is gone after the first call; the class has the same value under that name."""

    class Settings:
        a = 1

    settings = Settings()
    settings.a = 1

    def take(x):
        return x * vars(settings).pop("a")

    def delete(x):
        del settings.a
        return x

    def look(x):
        return x * vars(settings).get("a", 5)

    for function in (take, delete, look):
        settings.a = 1
        f = compile(function)
        for _ in range(3):
            yield attempt(f, x), dict(vars(settings))
        vars(settings).pop("a", None)
        yield attempt(f, x)


@case
def entry_of_the_attributes_deleted_twice(compile, x):
    box = Box(n=1)

    def step(x):
        del vars(box)["n"]
        return x

    f = compile(step)
    for _ in range(3):
        yield attempt(f, x), dict(vars(box))


@case
def attribute_set_and_deleted_at_once(compile, x):
    class Plain:
        pass

    held = Plain()

    def step(x, o):
        for owner in (held, o, Plain):
            owner.z = x.sum()
            y = owner.z
            del owner.z
        return y

    f = compile(step)
    for _ in range(3):
        o = Box(a=1)
        yield attempt(f, x, o), vars(o), vars(held), hasattr(Plain, "z")
    held.z = 5
    yield attempt(f, x, o), vars(held)


@case
def one_list_at_two_places(compile, x):
    def step(x, a, b):
        a.append(x.sum())
        b.append(len(a))
        return x * len(a) + len(b), a is b

    f = compile(step)
    first: Any = [1]
    second: Any = [2]
    for a, b in ((first, second), (first, first), (second, first), (second, second)):
        yield f(x, a, b), first, second


@case
def one_list_at_two_places_within_an_argument(compile, x):
    def step(x, o):
        o["a"].append(x.shape[0])
        o["b"]["c"].append(2)
        o["d"].a.append(x.sum())
        o["e"] = o["a"] is o["b"]["c"]
        return x * len(o["a"])

    f = compile(step)
    for shared in (0, 1, 2, 0, 1, 2):
        one: Any = [1]
        o = {"a": one, "b": {"c": one if shared else [1]}, "d": Pair(one if shared == 2 else [1])}
        yield f(x, o), o, one


@case
def one_list_of_tensors_by_position_and_by_name(compile, x):
    def step(x, parts, *, others):
        parts[0] = parts[0] * 2
        return sum(others), parts is others, {"kept": others}

    f = compile(step)
    for _ in range(2):
        parts, others = [x, x + 1], [x, x + 1]
        result, same, kept = f(x, parts, others=others)
        yield result, same, parts, kept["kept"] is others
        result, same, kept = f(x, parts, others=parts)
        yield result, same, parts, kept["kept"] is parts


@case(may_fall_back="one list is two in a trace")
def an_argument_that_is_also_reached_by_another_way(compile, x):
    seen: Any = [1]
    owner = SimpleNamespace(log=[1], n=0)

    def step(x, items, log):
        seen.append(2)
        items.append(3)
        owner.log.append(4)
        log["a"] = len(owner.log)
        return x * len(items) * len(seen)

    f = compile(step)
    for items, log in (
        ([1], {}),
        (seen, {}),
        ([1], owner.__dict__),
        ({"a": owner.log}["a"], {}),
        ([1], {}),
        (seen, {}),
    ):
        yield f(x, items, log), items, seen, owner.log, log.get("a")


@case
def an_argument_that_is_also_read_by_another_way(compile, x):
    scales, owner = [2.0, 3.0], SimpleNamespace(n=0)

    def step(x, given):
        owner.n += 1
        return x * given[0] * scales[1]

    f = compile(step)
    for given in (scales, [5.0, 1.0], scales):
        yield f(x, given), owner.n


@case.test
def test_arguments(case: Case) -> None:
    case.check()
