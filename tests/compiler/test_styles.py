"""Unusual ways to hold and find state, one for each way in which people write Python."""

from __future__ import annotations

import abc
import argparse
import collections
import contextvars
import dataclasses
import datetime
import decimal
import fractions
import functools
import operator
import pathlib
import sys
import threading
import types
import weakref
from typing import Any, ClassVar

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table

case = Table()

SCALE: Any = 1.0
REGISTRY: dict[str, Any] = {}
CONTEXT: contextvars.ContextVar[float] = contextvars.ContextVar("CONTEXT", default=1.0)
LOCAL = threading.local()


def register(name):
    def wrap(function):
        REGISTRY[name] = function
        return function

    return wrap


# --------------------------------------------------------------------------------------------- where it is


@case
def module_by_its_name(compile, x):
    this = sys.modules[__name__]
    this.SCALE = 1.0
    f = compile(lambda x: x * sys.modules[__name__].SCALE)
    yield f(x)
    this.SCALE = 2.0
    yield f(x)


@case
def function_globals(compile, x):
    global SCALE
    SCALE = 1.0

    def step(x):
        return x * step.__globals__["SCALE"]

    f = compile(step)
    yield f(x)
    SCALE = 3.0
    yield f(x)


@case
def registry_of_functions(compile, x):
    REGISTRY.clear()
    register("act")(fb.sin)
    f = compile(lambda x, name: REGISTRY[name](x))
    yield f(x, "act")
    register("act")(fb.cos)
    yield f(x, "act")
    register("other")(lambda x: x * 2)
    yield f(x, "other")


@case
def class_registry_by_init_subclass(compile, x):
    class Base:
        kinds: ClassVar[dict[str, Any]] = {}

        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__(**kwargs)
            Base.kinds[cls.__name__] = cls

    class Double(Base):
        k = 2.0

    f = compile(lambda x: x * sum(kind.k for kind in Base.kinds.values()))
    yield f(x), sorted(Base.kinds)

    class Triple(Base):
        k = 3.0

    yield f(x), sorted(Base.kinds)
    Double.k = 10.0
    yield f(x)


@case
def metaclass_attribute(compile, x):
    class Meta(type):
        scale = 1.0

        @property
        def doubled(cls):
            return cls.scale * 2

    class Model(metaclass=Meta):
        pass

    f = compile(lambda x: x * Model.scale + Model.doubled)
    yield f(x)
    Meta.scale = 3.0
    yield f(x)


@case
def super_chain_and_mixins(compile, x):
    class Base:
        bias = 0.0

        def run(self, x):
            return x + self.bias

    class Doubling:
        factor = 2.0

        def run(self, x):
            return super().run(x) * self.factor

    class Model(Doubling, Base):
        pass

    f = compile(Model().run)
    yield f(x)
    Base.bias = 1.0
    yield f(x)
    Doubling.factor = 3.0
    yield f(x)
    Model.factor = 5.0
    yield f(x)


@case
def abstract_class_and_class_property(compile, x):
    class Rule(abc.ABC):
        @property
        @abc.abstractmethod
        def k(self): ...

    class Fixed(Rule):
        def __init__(self):
            self.value = 1.0

        @property
        def k(self):
            return self.value

    rule = Fixed()
    f = compile(lambda x: x * rule.k)
    yield f(x)
    rule.value = 4.0
    yield f(x)


@case(may_fall_back="what it remembers are weak references")
def single_dispatch(compile, x):
    gains = {"int": 10.0, "str": 100.0}

    @functools.singledispatch
    def gain(value):
        return 1.0

    @gain.register
    def _(value: int):
        return gains["int"] * value

    f = compile(lambda x, v: x * gain(v))
    yield f(x, 2), f(x, "a")
    gains["int"] = 20.0
    yield f(x, 2)
    gain.register(str, lambda value: gains["str"])
    yield f(x, "a")


@case
def partial_method(compile, x):
    class Model:
        k = 1.0

        def scaled(self, factor, x):
            return x * factor * self.k

        doubled = functools.partialmethod(scaled, 2.0)

    model = Model()
    f = compile(lambda x: model.doubled(x))
    yield f(x)
    model.k = 3.0
    yield f(x)


@case
def method_caller_and_reduce(compile, x):
    names, ks = ["sin", "neg"], [1.0, 2.0]

    def step(x):
        for name in names:
            x = operator.methodcaller(name)(x)
        return functools.reduce(operator.mul, ks, x)

    f = compile(step)
    yield f(x)
    names[0] = "cos"
    yield f(x)
    ks.append(5.0)
    yield f(x)


@case(may_fall_back="a context variable is kept where Python code can't look")
def context_variable(compile, x):
    f = compile(lambda x: x * CONTEXT.get())
    CONTEXT.set(1.0)
    yield f(x)
    token = CONTEXT.set(2.0)
    yield f(x)
    CONTEXT.reset(token)
    yield f(x)


@case
def thread_local(compile, x):
    LOCAL.k = 1.0
    f = compile(lambda x: x * LOCAL.k)
    yield f(x)
    LOCAL.k = 2.0
    yield f(x)


@case
def attribute_of_a_tensor(compile, x):
    w = fb.ones(3)
    w.scale = 1.0
    f = compile(lambda x: x * w * w.scale)
    yield f(x)
    w.scale = 2.0
    yield f(x)
    w.tags = ["a"]
    f = compile(lambda x: x * len(w.tags))
    yield f(x)
    w.tags.append("b")
    yield f(x)


@case
def attribute_of_an_argument_tensor(compile, x):
    f = compile(lambda x: x * getattr(x, "weight", 1.0))
    yield f(x)
    x.weight = 2.0
    yield f(x)
    y = fb.ones(3)
    y.weight = 5.0
    yield f(y), f(fb.ones(3))


@case(may_fall_back="a result gets an attribute")
def attribute_written_to_a_tensor(compile, x):
    w = fb.ones(3)

    def step(x):
        w.uses = getattr(w, "uses", 0) + 1
        y = x * w.uses
        y.kind = "result"
        return y

    f = compile(step)
    for _ in range(3):
        y = f(x)
        yield y, w.uses, y.kind


@case
def argparse_namespace(compile, x):
    args = argparse.Namespace(lr=0.1, verbose=False)
    f = compile(lambda x: x * args.lr if not args.verbose else -x)
    yield f(x)
    args.lr = 0.2
    yield f(x)
    args.verbose = True
    yield f(x)


@case
def nested_settings_by_dots(compile, x):
    class Settings(dict):
        def __getattr__(self, name):
            value = self[name]
            return Settings(value) if isinstance(value, dict) else value

    cfg = Settings(model={"width": {"hidden": 1.0}})
    f = compile(lambda x: x * cfg.model.width.hidden)
    yield f(x)
    cfg["model"]["width"]["hidden"] = 3.0
    yield f(x)


@case
def user_dict_and_user_list(compile, x):
    table, items = collections.UserDict(a=1.0), collections.UserList([1.0, 2.0])
    f = compile(lambda x: x * table["a"] + sum(items))
    yield f(x)
    table["a"] = 2.0
    yield f(x)
    items.append(3.0)
    yield f(x)


@case
def mapping_proxy(compile, x):
    table = {"a": 1.0}
    view = types.MappingProxyType(table)
    f = compile(lambda x: x * view["a"] + len(view))
    yield f(x)
    table["a"] = 2.0
    yield f(x)
    table["b"] = 0.0
    yield f(x)


@case
def views_of_a_dict_kept(compile, x):
    table = {"a": 1.0, "b": 2.0}
    keys, values = table.keys(), table.values()
    f = compile(lambda x: x * sum(values) + len(keys))
    yield f(x)
    table["a"] = 5.0
    yield f(x)
    table["c"] = 1.0
    yield f(x)


@case(may_fall_back="a program would keep the keys alive")
def weak_dictionaries(compile, x):
    class Key:
        pass

    key, table = Key(), weakref.WeakKeyDictionary()
    table[key] = 1.0
    f = compile(lambda x: x * table.get(key, 100.0) + len(table))
    yield f(x)
    table[key] = 2.0
    yield f(x)
    del table[key]
    yield f(x)


@case
def own_sequence(compile, x):
    class Ramp(collections.abc.Sequence):
        def __init__(self, n, step):
            self.n, self.step = n, step

        def __len__(self):
            return self.n

        def __getitem__(self, i):
            if i >= self.n:
                raise IndexError
            return i * self.step

    ramp = Ramp(3, 1.0)
    f = compile(lambda x: x * sum(ramp) + (ramp.index(1.0) if 1.0 in ramp else -1))
    yield f(x)
    ramp.step = 2.0
    yield f(x)
    ramp.n = 5
    yield f(x)


@case
def numbers_of_other_kinds(compile, x):
    box = types.SimpleNamespace(d=decimal.Decimal("1.5"), f=fractions.Fraction(1, 2), t=datetime.timedelta(seconds=2))
    f = compile(lambda x: x * float(box.d) + float(box.f) + box.t.total_seconds())
    yield f(x)
    box.d = decimal.Decimal("2.5")
    yield f(x)
    box.f += fractions.Fraction(1, 4)
    yield f(x)
    box.t *= 2
    yield f(x)


@case
def paths_and_dates(compile, x):
    box = types.SimpleNamespace(path=pathlib.PurePosixPath("run/a.pt"), day=datetime.date(2024, 1, 31))
    f = compile(lambda x: x * len(box.path.stem) + box.day.month)
    yield f(x)
    box.path = box.path.with_name("long.pt")
    yield f(x)
    box.day += datetime.timedelta(days=1)
    yield f(x)


@case
def dataclass_of_every_kind(compile, x):
    @dataclasses.dataclass(slots=True)
    class Slots:
        k: float

    @dataclasses.dataclass
    class Derived:
        base: float
        doubled: float = dataclasses.field(init=False)

        def __post_init__(self):
            self.doubled = self.base * 2

    a, b = Slots(1.0), Derived(1.0)
    f = compile(lambda x: x * a.k + b.doubled)
    yield f(x)
    a.k = 2.0
    yield f(x)
    b.base = 10.0
    yield f(x)
    b.__post_init__()
    yield f(x)


@case
def dataclass_as_a_dict(compile, x):
    @dataclasses.dataclass
    class Config:
        a: float = 1.0
        b: float = 2.0

    cfg = Config()
    f = compile(lambda x: x * sum(dataclasses.asdict(cfg).values()) + len(dataclasses.fields(cfg)))
    yield f(x)
    cfg.b = 5.0
    yield f(x)


@case
def objects_that_refuse_comparison(compile, x):
    class Strict:
        def __init__(self, k):
            self.k = k

        def __eq__(self, other):
            raise TypeError("can't be compared")

        __hash__ = None

        def __bool__(self):
            raise TypeError("neither true nor false")

        def __len__(self):
            raise TypeError("no length")

        def __repr__(self):
            raise TypeError("not shown")

    a = Strict(1.0)
    f = compile(lambda x, s: x * a.k + s.k)
    yield f(x, Strict(1.0))
    a.k = 2.0
    yield f(x, Strict(5.0))
    a = Strict(3.0)
    yield f(x, a)


@case
def objects_that_are_equal_to_everything(compile, x):
    class Same:
        def __init__(self, k):
            self.k = k

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

    held = [Same(1.0)]
    f = compile(lambda x, s: x * held[0].k + s.k)
    yield f(x, Same(1.0))
    held[0] = Same(2.0)
    yield f(x, Same(1.0))
    yield f(x, Same(7.0))


@case
def arrays_and_tensors_in_tuples(compile, x):
    pair = (np.ones(3), fb.ones(3), [np.zeros(2)])
    f = compile(lambda x: x * fb.tensor(pair[0]) + pair[1] + float(pair[2][0].sum()))
    yield f(x)
    pair[0][0] = 5.0
    yield f(x)
    pair[2][0][1] = 7.0
    yield f(x)
    pair[1].fill_(3.0)
    yield f(x)


@case
def array_of_objects(compile, x):
    table = np.array([None, "text", 2.0], dtype=object)
    f = compile(lambda x: x * table[2])
    yield f(x)
    table[2] = 3.0
    yield f(x)


@case
def structured_array(compile, x):
    table = np.zeros(2, dtype=[("a", float), ("b", int)])
    table["a"] = 1.0
    f = compile(lambda x: x * float(table["a"].sum()) + int(table["b"][1]))
    yield f(x)
    table["b"][1] = 4
    yield f(x)


@case
def array_view_written_through_its_base(compile, x):
    base = np.ones((4, 3))
    row = base[1]
    f = compile(lambda x: x * fb.from_numpy(row.copy()))
    yield f(x)
    base[1, 2] = 9.0
    yield f(x)


@case.test
def test_styles(case: Case) -> None:
    case.check()
