"""Lists, dicts, sets and deques of classes whose own methods stand before those in C: what these do is done once at each call."""

from __future__ import annotations

import collections
import operator
from typing import Any

import pytest

from compiler.scenarios import Case, Table

case = Table()


class Wrapping(dict[Any, Any]):
    """Puts something around each value: if that were done twice, it would show."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, ("set", value))


class Noting(dict[Any, Any]):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seen: list[Any] = []

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.seen.append(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self.seen.append(("del", key))
        super().__delitem__(key)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc,override]
        self.seen.append("|=")
        self.update(other)
        return self


class Counted(list[Any]):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self.n = 0

    def __setitem__(self, at: Any, value: Any) -> None:
        self.n += 1
        super().__setitem__(at, value)

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        self.n += 10
        return super().__iadd__(other)

    def __getitem__(self, at: Any) -> Any:
        return super().__getitem__(at)

    def __len__(self) -> int:
        return 2


class Queue(collections.deque[Any]):
    def __setitem__(self, at: Any, value: Any) -> None:
        super().__setitem__(at, (value,))


DICTS = {
    "item": lambda o, x: o.__setitem__("a", x.sum()),
    "operator": lambda o, x: operator.setitem(o, "a", x.shape[0]),
    "default": lambda o, x: o.setdefault("c", []).append(x.shape[0]),
    "deleted": lambda o, x: operator.delitem(o, "a"),
    "filled": lambda o, x: o.update(a=x.sum(), c=2),
    "merged": lambda o, x: operator.ior(o, {"b": x.shape[0]}),
}


def _set(o, x):
    o["a"] = x.sum()


def _places_changed(o, x):
    o["a"], o["b"] = o["b"], o["a"]


def _history(o, x):
    o["b"] = (o.get("b"), x.shape[0])


def _taken(o, x):
    o["b"] = o.pop("a")


DICTS.update(set=_set, places_changed=_places_changed, history=_history, taken=_taken)


@pytest.mark.parametrize("where", ["argument", "outside"])
@pytest.mark.parametrize("kind", [Wrapping, Noting])
@pytest.mark.parametrize("change", DICTS)
def test_dicts(change: str, kind: type, where: str) -> None:
    def scenario(compile, x):
        held = kind(a=1, b=2)

        def step(x, o=held):
            DICTS[change](o, x)
            return x * 2

        f = compile(step)
        for i in range(4):
            if (where == "argument" and i % 2) or "a" not in held:
                held.clear()
                held.update(a=1, b=i)
            yield f(x, held) if where == "argument" else f(x), list(held.items()), dict(vars(held))

    apart = {"default": "could not be followed", "merged": "gives ior"}
    Case(scenario, may_fall_back=apart.get(change, "")).check()


@case
def elements_of_a_list(compile, x):
    def step(x, o):
        o[0], o[1] = o[1], x.shape[0]
        o += [x.sum()]
        o.append(o.pop(0))
        return x * 2

    f = compile(step)
    o: Any = Counted([1, 2])
    for i in range(4):
        yield f(x[: 2 + i % 2], o), list(o), o.n


@case
def slice_of_a_list_outside(compile, x):
    held: Any = Counted([1, 2, 3])

    def step(x):
        held[:] = [x.shape[0], *held]
        del held[-1]
        return x * held[0]

    f = compile(step)
    for _ in range(3):
        yield f(x), list(held), held.n


@case
def elements_of_a_deque(compile, x):
    held: Any = Queue([1, 2])

    def step(x):
        held[0] = x.shape[0]
        held[1] = x.sum()
        return x * 2

    f = compile(step)
    for _ in range(3):
        yield f(x), list(held)


@case
def element_of_a_list_deleted_by_the_method(compile, x):
    held: Any = [3, 1, 2, 0, 5]

    def step(x):
        list.__delitem__(held, 0)
        held.__delitem__(-1)
        return x * 2

    f = compile(step)
    yield f(x), held
    held += [7, 8, 9, 6]
    yield f(x), held


@case
def counter_of_a_class(compile, x):
    held: Any = collections.Counter("ab")

    def step(x):
        table = held
        table += collections.Counter("ac")
        table["b"] += 1
        table.subtract("c")
        return x * table["a"]

    f = compile(step)
    for _ in range(4):
        yield f(x), dict(held)


@case(may_fall_back="__init__")
def made_anew_in_place(compile, x):
    held: Any = [1]
    table: Any = {"a": 1}

    def step(x, o):
        held.__init__([x.shape[0]])  # type: ignore[misc]
        table.__init__(b=x.sum())  # type: ignore[misc]
        o.__init__({3})
        return x * 2

    f = compile(step)
    for _ in range(2):
        o = {1, 2}
        held.append(5)
        yield f(x, o), held, table, o


@case
def method_of_the_class_replaced(compile, x):
    class Late(dict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value * 2)

    held = Late()

    def step(x):
        held["a"] = x.sum()
        return x

    f = compile(step)
    yield f(x), dict(held)
    Late.__setitem__ = lambda self, key, value: dict.__setitem__(self, key, -value)  # type: ignore[method-assign]
    yield f(x), dict(held)
    del Late.__setitem__
    yield f(x), dict(held)
    Late.__delitem__ = lambda self, key: None  # type: ignore[method-assign]
    yield f(x), dict(held)


@case.test
def test_subclasses(case: Case) -> None:
    case.check()
