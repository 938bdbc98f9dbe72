"""Attributes of every kind of object that a compiled function reads, and of their classes."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import operator
import types
import weakref
from typing import NamedTuple

from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Box

case = Table()


def weight_of(box):
    return box.w


def times_weight(box, x):
    return x * weight_of(box)


@case
def attribute_of_an_object(compile, x):
    box = Box(w=1.0)
    f = compile(lambda x: x * box.w)
    yield f(x)
    box.w = 2.0
    yield f(x)


@case
def attribute_read_in_helpers(compile, x):
    box = Box(w=1.0)
    f = compile(lambda x: times_weight(box, x))
    yield f(x)
    box.w = 2.0
    yield f(x)


@case
def attribute_of_the_argument(compile, x):
    box = Box(w=1.0)
    f = compile(lambda x, a: x * a.w)
    yield f(x, box)
    box.w = 2.0
    yield f(x, box)
    yield f(x, Box(w=3.0))


@case
def attribute_of_self(compile, x):
    class Model:
        def __init__(self):
            self.w = 1.0

        def step(self, x):
            return x * self.w

    model = Model()
    f = compile(model.step)
    yield f(x)
    model.w = 2.0
    yield f(x)


@case
def compiled_method_of_two_objects(compile, x):
    class Model:
        def __init__(self, w):
            self.w = w

        @compile
        def step(self, x):
            return x * self.w

    a, b = Model(1.0), Model(2.0)
    yield a.step(x), b.step(x)
    a.w, b.w = 5.0, 6.0
    yield a.step(x), b.step(x)


@case
def nested_objects(compile, x):
    box = Box(a=Box(b=Box(c=1.0)))
    f = compile(lambda x: x * box.a.b.c)
    yield f(x)
    box.a.b.c = 2.0
    yield f(x)
    box.a = Box(b=Box(c=3.0))
    yield f(x)


@case
def callable_object(compile, x):
    class Scale:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return x * self.w

    scale = Scale(1.0)
    f = compile(scale)
    yield f(x)
    scale.w = 2.0
    yield f(x)


@case
def class_attribute(compile, x):
    class Config:
        scale = 1.0

    f = compile(lambda x: x * Config.scale)
    yield f(x)
    Config.scale = 2.0
    yield f(x)


@case
def class_attribute_through_self_then_shadowed(compile, x):
    class Model:
        w = 1.0

        def step(self, x):
            return x * self.w

    model = Model()
    f = compile(model.step)
    yield f(x)
    Model.w = 2.0
    yield f(x)
    model.w = 3.0
    yield f(x)
    del model.w
    yield f(x)


@case
def class_attribute_of_a_parent(compile, x):
    class Parent:
        w = 1.0

    class Child(Parent):
        pass

    f = compile(lambda x: x * Child.w)
    yield f(x)
    Parent.w = 2.0
    yield f(x)
    Child.w = 3.0
    yield f(x)


@case
def method_monkeypatched_on_the_class(compile, x):
    class Model:
        def gain(self):
            return 1.0

        def step(self, x):
            return x * self.gain()

    model = Model()
    f = compile(model.step)
    yield f(x)
    Model.gain = lambda self: 2.0
    yield f(x)
    model.gain = lambda: 3.0
    yield f(x)


@case
def static_and_class_methods(compile, x):
    class Model:
        w = 1.0

        @staticmethod
        def twice(x):
            return x * 2

        @classmethod
        def scaled(cls, x):
            return x * cls.w

    f = compile(lambda x: Model.twice(Model.scaled(x)))
    yield f(x)
    Model.w = 2.0
    yield f(x)
    Model.twice = staticmethod(lambda x: x * 5)
    yield f(x)


@case
def property_of_an_object(compile, x):
    class Model:
        def __init__(self):
            self._w = 1.0

        @property
        def w(self):
            return self._w * 2

    model = Model()
    f = compile(lambda x: x * model.w)
    yield f(x)
    model._w = 3.0
    yield f(x)
    Model.w = property(lambda self: 100.0)
    yield f(x)


@case
def cached_property(compile, x):
    class Model:
        base = 1.0

        @functools.cached_property
        def w(self):
            return self.base * 2

    model = Model()
    f = compile(lambda x: x * model.w)
    yield f(x)
    model.base = 5.0
    yield f(x)
    del model.w
    yield f(x), model.w


@case
def slots(compile, x):
    class Point:
        __slots__ = ("a", "b")

    point = Point()
    point.a, point.b = 1.0, 2.0
    f = compile(lambda x: x * point.a + point.b)
    yield f(x)
    point.b = 5.0
    yield f(x)
    del point.b
    yield attempt(f, x)


@case
def dynamic_attributes(compile, x):
    class Lookup:
        def __init__(self):
            self.values = {"w": 1.0}

        def __getattr__(self, name):
            return self.values[name]

    lookup = Lookup()
    f = compile(lambda x: x * lookup.w)
    yield f(x)
    lookup.values["w"] = 2.0
    yield f(x)


@case
def descriptor(compile, x):
    class Doubled:
        def __get__(self, instance, owner=None):
            return instance.raw * 2

    class Model:
        w = Doubled()

        def __init__(self):
            self.raw = 1.0

    model = Model()
    f = compile(lambda x: x * model.w)
    yield f(x)
    model.raw = 4.0
    yield f(x)


@case
def operators_of_an_object(compile, x):
    class Gains:
        def __init__(self, values):
            self.values = values

        def __getitem__(self, i):
            return self.values[i]

        def __len__(self):
            return len(self.values)

        def __iter__(self):
            return iter(self.values)

        def __contains__(self, value):
            return value in self.values

        def __bool__(self):
            return bool(self.values)

    gains = Gains([1.0, 2.0])
    f = compile(lambda x: x * gains[0] + len(gains) + sum(gains) + (10 if 2.0 in gains else 20) if gains else x)
    yield f(x)
    gains.values = [1.0, 3.0, 4.0]
    yield f(x)
    gains.values.clear()
    yield f(x)


@case
def getattr_with_names(compile, x):
    box, name = Box(a=1.0, b=2.0), "a"
    f = compile(lambda x: x * getattr(box, name))
    yield f(x)
    box.a = 5.0
    yield f(x)
    name = "b"
    yield f(x)


@case
def getattr_with_a_default_and_hasattr(compile, x):
    box = Box()
    f = compile(lambda x: x * getattr(box, "k", 1.0) + (10 if hasattr(box, "k") else 0))
    yield f(x)
    box.k = 3.0
    yield f(x)
    del box.k
    yield f(x)


@case
def vars_and_dict(compile, x):
    box = Box(a=1.0)
    f = compile(lambda x: x * sum(vars(box).values()) + len(box.__dict__))
    yield f(x)
    box.a = 2.0
    yield f(x)
    box.b = 3.0
    yield f(x)


@case
def attrgetter_and_itemgetter(compile, x):
    box, table = Box(inner=Box(w=1.0)), {"k": 1.0}
    get, item = operator.attrgetter("inner.w"), operator.itemgetter("k")
    f = compile(lambda x: x * get(box) + item(table))
    yield f(x)
    box.inner.w = 2.0
    yield f(x)
    table["k"] = 5.0
    yield f(x)


@case
def simple_namespace(compile, x):
    cfg = types.SimpleNamespace(lr=0.1, model=types.SimpleNamespace(depth=2))
    f = compile(lambda x: x * cfg.lr + cfg.model.depth)
    yield f(x)
    cfg.model.depth = 3
    yield f(x)
    cfg.lr = 0.5
    yield f(x)


@case
def user_module(compile, x):
    cfg = types.ModuleType("cfg")
    cfg.scale = 1.0
    f = compile(lambda x: x * cfg.scale)
    yield f(x)
    cfg.scale = 2.0
    yield f(x)


@case
def dataclass_fields(compile, x):
    @dataclasses.dataclass
    class Config:
        lr: float = 0.1
        sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])

    cfg = Config()
    f = compile(lambda x: x * cfg.lr + sum(cfg.sizes))
    yield f(x)
    cfg.lr = 0.2
    yield f(x)
    cfg.sizes.append(7)
    yield f(x)
    cfg = dataclasses.replace(cfg, lr=1.0)
    yield f(x)


@case
def named_tuple(compile, x):
    class Pair(NamedTuple):
        a: float
        b: list[float]

    pair = Pair(1.0, [2.0])
    f = compile(lambda x: x * pair.a + pair.b[0])
    yield f(x)
    pair.b[0] = 3.0
    yield f(x)
    pair = pair._replace(a=4.0)
    yield f(x)


@case
def enum_member(compile, x):
    class Mode(enum.Enum):
        ADD = 1
        MUL = 2

    mode = Mode.ADD
    f = compile(lambda x: x + 5 if mode is Mode.ADD else x * mode.value)
    yield f(x)
    mode = Mode.MUL
    yield f(x)


@case
def class_of_an_object_is_swapped(compile, x):
    class A:
        def gain(self):
            return 1.0

    class B(A):
        def gain(self):
            return 2.0

    a = A()
    f = compile(lambda x: x * a.gain() + isinstance(a, B))
    yield f(x)
    a.__class__ = B
    yield f(x)
    a = A()
    yield f(x)


@case(may_fall_back="a program would keep the object alive")
def weak_reference(compile, x):
    box = Box(w=1.0)
    ref = weakref.ref(box)
    f = compile(lambda x: x * (ref().w if ref() is not None else 9.0))
    yield f(x)
    box.w = 2.0
    yield f(x)
    del box
    yield f(x)


@case
def special_methods_replaced(compile, x):
    class Odd:
        value = 2.0

        def __iter__(self):
            return iter([self.value, 1.0])

        def __len__(self):
            return 3

        def __bool__(self):
            return True

        def __contains__(self, key):
            return True

        def __getitem__(self, key):
            return self.value

        def __add__(self, other):
            return self.value + other

        def __call__(self, x):
            return x * self.value

        def __enter__(self):
            return self.value

        def __exit__(self, *error):
            return None

        def __float__(self):
            return self.value

    def entered(x):
        with odd as value:
            return x * value

    def stored(x):
        odd.value = 3.0
        return x * odd.value

    odd = Odd()
    uses = {
        "__iter__": (lambda x: x * max(*odd), lambda self: iter([7.0, 8.0])),
        "__len__": (lambda x: x * len(odd), lambda self: 5),
        "__bool__": (lambda x: x if odd else -x, lambda self: False),
        "__contains__": (lambda x: x if 3 in odd else -x, lambda self, key: False),
        "__getitem__": (lambda x: x * odd[0], lambda self, key: 9.0),
        "__add__": (lambda x: x * (odd + 1), lambda self, other: 10.0),
        "__call__": (lambda x: odd(x), lambda self, x: -x),
        "__enter__": (entered, lambda self: 11.0),
        "__float__": (lambda x: x * float(odd), lambda self: 12.0),
        "__setattr__": (stored, lambda self, name, value: object.__setattr__(self, name, value + 1)),
    }
    for name, (use, other) in uses.items():
        f = compile(use)
        yield name, f(x)
        setattr(Odd, name, other)
        yield name, f(x)


@case
def what_a_pattern_of_a_class_reads(compile, x):
    class Pair:
        __match_args__ = ("a", "b")

        def __init__(self):
            self.a, self.b = 2.0, 5.0

    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    pair = Pair()

    def step(x):
        match pair:
            case Shape(b=side):
                return x - side
            case Pair(first):
                return x * first

    f = compile(step)
    yield f(x)
    pair.a = 3.0
    yield f(x)
    Pair.__match_args__ = ("b",)
    yield f(x)
    Shape.register(Pair)
    yield f(x)


@case.test
def test_objects(case: Case) -> None:
    case.check()
