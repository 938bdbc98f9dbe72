"""Looks at what a program holds for: the compiled pass and the lines of Python say the same, and neither keeps anything alive."""

from __future__ import annotations

import gc
import threading
import types
import weakref
from collections import OrderedDict, defaultdict

import pytest

import flambeau as fb
from flambeau import native, nn
from flambeau.compiler.guards import looks
from flambeau.compiler.guards.looks import Kind, Look, Names, held_by, of_thread, written


@pytest.fixture(params=["native", "python"])
def by(request, monkeypatch):
    """`by(looks)`: one function of these looks, by the library or as lines of Python."""
    if request.param == "native" and looks._maker() is None:
        pytest.skip("there are no compiled kernels")
    if request.param == "python":
        monkeypatch.setattr(looks, "_maker", lambda: None)
    return lambda *terms: written(terms, Names())


class Thing:
    def method(self):
        return 1


class Slotted:
    __slots__ = ("part",)


def of_type():
    thing = Thing()
    other = type("Other", (Thing,), {})
    return (
        Look(Kind.TYPE, thing, None, Thing),
        lambda: setattr(thing, "__class__", other),
        lambda: setattr(thing, "__class__", Thing),
    )


def of_entry():
    value = [1]
    table = defaultdict(list, a=value)
    return Look(Kind.ENTRY, table, "a", value), lambda: table.update(a=[1]), lambda: table.update(a=value)


def of_lost_entry():
    value = object()
    table = defaultdict(object, {1.5: value})
    return Look(Kind.ENTRY, table, 1.5, value), lambda: table.pop(1.5), lambda: table.update({1.5: value})


def of_absence():
    table = {}
    return Look(Kind.ABSENT, table, "a"), lambda: table.update(a=None), table.clear


def of_item():
    value = object()
    held = [0, value]
    return Look(Kind.ITEM, held, 1, value), lambda: held.pop(), lambda: held.append(value)


def of_attribute():
    thing, value = Thing(), object()
    thing.part = value
    return (
        Look(Kind.ATTRIBUTE, thing, "part", value),
        lambda: delattr(thing, "part"),
        lambda: setattr(thing, "part", value),
    )


def of_slot():
    thing, value = Slotted(), object()
    thing.part = value
    return (
        Look(Kind.ATTRIBUTE, thing, "part", value),
        lambda: setattr(thing, "part", 2),
        lambda: setattr(thing, "part", value),
    )


def of_method():
    before = Thing.method
    return (
        Look(Kind.ATTRIBUTE, Thing, "method", before),
        lambda: setattr(Thing, "method", lambda self: 2),
        lambda: setattr(Thing, "method", before),
    )


def of_cell():
    def outer(value=None):
        value = held
        return lambda: value

    held = object()
    cell = outer().__closure__[0]
    assert isinstance(cell, types.CellType)
    return (
        Look(Kind.ATTRIBUTE, cell, "cell_contents", held),
        lambda: delattr(cell, "cell_contents"),
        lambda: setattr(cell, "cell_contents", held),
    )


def of_length():
    held = [1, 2]
    return Look(Kind.LENGTH, held, None, 2), lambda: held.append(3), lambda: held.pop()


def of_empty():
    held = {}
    return Look(Kind.EMPTY, held), lambda: held.update(a=1), held.clear


def of_members():
    one, two = object(), object()
    held = [one, two]
    return held_by(held, [one, two], None), lambda: held.reverse(), lambda: held.reverse()


def of_more_members():
    one = object()
    held = [one]
    return held_by(held, [one], None), lambda: held.append(one), lambda: held.pop()


def of_values():
    one, two = object(), object()
    held = {"a": one, "b": two}
    return held_by(held, ["a", "b", one, two], None), lambda: held.update(b=one), lambda: held.update(b=two)


def of_keys():
    one = object()
    held = {"a": one}
    return held_by(held, ["a", one], None), lambda: held.update(c=one), lambda: held.pop("c")


def of_thread_set():
    class State(threading.local):
        mode = None
        grad = True

    state = State()
    return (
        of_thread(state, {"mode": None, "grad": True}),
        lambda: setattr(state, "mode", 1),
        lambda: setattr(state, "mode", None),
    )


def of_thread_unset():
    class State(threading.local):
        grad = True

    state = State()
    state.grad = False
    return of_thread(state, {"grad": False}), lambda: delattr(state, "grad"), lambda: setattr(state, "grad", False)


CASES = [
    of_type, of_entry, of_lost_entry, of_absence, of_item, of_attribute, of_slot, of_method, of_cell, of_length, of_empty, of_members,
    of_more_members, of_values, of_keys, of_thread_set, of_thread_unset,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_look_tells_of_a_change(case, by):
    look, breaks, mends = case()
    fine = Look(Kind.TYPE, 1, None, int)
    for held in (by(look), by(fine, look), by(look, fine)):
        assert held() is True
        breaks()
        try:
            assert held() is False
        finally:
            mends()
        assert held() is True


def test_every_kind_is_tried():
    assert {case()[0].kind for case in CASES} == set(Kind)


@pytest.mark.parametrize("make", [lambda: OrderedDict(a=1), lambda: type("Mine", (list,), {})([1])])
def test_containers_of_other_classes_are_asked_by_python(make, by):
    container, names = make(), Names()
    held = [*container, *container.values()] if isinstance(container, dict) else [*container]
    term = held_by(container, held, names.name)
    assert isinstance(term, str)
    holds = written([term], names)
    assert holds()
    container.clear()
    assert not holds()


def test_an_error_of_the_users_code_is_no_answer(by):
    class Loud:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __len__(self):
            raise RuntimeError("len")

    class Unhashable:
        def __hash__(self):
            raise RuntimeError("hash")

    for look in (
        Look(Kind.ATTRIBUTE, Loud(), "part", None), Look(Kind.LENGTH, Loud(), None, 0), Look(Kind.EMPTY, Loud()),
        Look(Kind.ENTRY, {}, Unhashable(), None), Look(Kind.ABSENT, {1: 2}, Unhashable()), Look(Kind.ITEM, Loud(), 0, None),
    ):  # fmt: skip
        assert by(look)() is False
    assert by(Look(Kind.TYPE, 1, None, int))() is True  # and nothing is left behind


def test_another_thread_has_modes_of_its_own(by):
    class State(threading.local):
        grad = True

    state = State()
    state.grad = False
    holds = by(of_thread(state, {"grad": False}))
    answers = [holds()]
    thread = threading.Thread(target=lambda: answers.append(holds()))
    thread.start()
    thread.join()
    assert answers == [True, False]


def test_what_is_looked_at_is_not_kept_alive(by):
    class Trainer:
        def __init__(self):
            self.model = nn.Linear(2, 2)
            self.steps = {"a": [1]}
            self.step = fb.compile(self._step)  # a ring: the trainer holds what looks at it

        def _step(self, x):
            return self.model(x) * len(self.steps["a"])

    trainer = Trainer()
    for _ in range(3):
        trainer.step(fb.ones(1, 2))
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None


def test_the_compiled_pass_is_what_a_step_uses():
    if not native.available():
        pytest.skip("there are no compiled kernels")
    model = nn.Linear(2, 2)
    step = fb.compile(lambda x: model(x))
    for _ in range(3):
        step(fb.ones(1, 2))
    assert any(type(held).__name__ == "builtin_function_or_method" and held.__name__ == "holds"
               for held in step._quick.conditions.quick.__globals__.values())  # fmt: skip
