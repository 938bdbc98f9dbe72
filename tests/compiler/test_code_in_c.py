"""Code in C between the lines: what it reads is guarded, what it changes is seen; where neither can be, a call runs uncompiled."""

from __future__ import annotations

import abc
import collections
import copy
import dataclasses
import functools
import importlib
import itertools
import json
import operator
import sys
import types
import weakref
from types import SimpleNamespace as NS
from typing import Any

import numpy as np

import flambeau as fl
from compiler.scenarios import Case, Table

case = Table()


class Thing(types.SimpleNamespace):
    """An object with attributes, which are compared by identity."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Slot:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


@dataclasses.dataclass
class Record:
    a: float = 1.0
    b: list = dataclasses.field(default_factory=list)


@case
def methodcaller(compile, x):
    l = [1.0]

    def step(x):
        operator.methodcaller("append", 2.0)(l)
        return x * len(l)

    f = compile(step)
    for _ in range(3):
        yield (f(x), l)


@case
def methodcaller_read(compile, x):

    class P:
        k = 1.0

        def get(s, m):
            return s.k * m

    p = P()
    f = compile(lambda x: x * operator.methodcaller("get", 2)(p))
    yield f(x)
    p.k = 3.0
    yield f(x)
    P.get = lambda s, m: 7.0
    yield f(x)


@case
def map_attrgetter(compile, x):
    os_ = [Thing(k=1.0), Thing(k=2.0)]
    f = compile(lambda x: x * sum(map(operator.attrgetter("k"), os_)))
    yield f(x)
    os_[1].k = 5.0
    yield f(x)
    os_.append(Thing(k=9.0))
    yield f(x)


@case
def max_attrgetter(compile, x):
    os_ = [Thing(k=1.0, v=10.0), Thing(k=2.0, v=20.0)]
    f = compile(lambda x: x * max(os_, key=operator.attrgetter("k")).v)
    yield f(x)
    os_[0].k = 5.0
    yield f(x)
    os_[0].v = 7.0
    yield f(x)


@case(may_fall_back="code in C that nobody can look into")
def map_setattr_c(compile, x):
    o = Thing(a=1.0, b=2.0)

    def step(x):
        list(map(setattr, [o, o], ["a", "b"], [o.a + 1, o.b + 2]))
        return x * o.a * o.b

    f = compile(step)
    for _ in range(3):
        yield (f(x), vars(o))


@case(may_fall_back="code in C that nobody can look into")
def reduce_getattr(compile, x):
    o = Thing(a=Thing(b=Thing(c=2.0)))
    f = compile(lambda x: x * functools.reduce(getattr, "a.b.c".split("."), o))
    yield f(x)
    o.a.b.c = 3.0
    yield f(x)
    o.a = Thing(b=Thing(c=9.0))
    yield f(x)


@case(may_fall_back="code in C that nobody can look into")
def map_dpop(compile, x):
    d = {"a": 1.0, "b": 2.0, "c": 3.0}
    f = compile(lambda x: x * sum(map(d.pop, list(d)[:1])))
    yield (f(x), d)
    yield (f(x), d)
    yield (f(x), d)


@case
def op_iadd(compile, x):
    l = [1.0]

    def step(x):
        operator.iadd(l, [2.0])
        return x * sum(l)

    f = compile(step)
    for _ in range(3):
        yield (f(x), l)


@case
def op_getitem(compile, x):
    l = [[1.0], [2.0]]
    f = compile(lambda x: x * operator.getitem(operator.getitem(l, 1), 0))
    yield f(x)
    l[1][0] = 3.0
    yield f(x)
    l[1] = [4.0]
    yield f(x)


@case
def op_setitem(compile, x):
    d = {"n": 0}

    def step(x):
        operator.setitem(d, "n", d["n"] + 1)
        return x * d["n"]

    f = compile(step)
    for _ in range(4):
        yield (f(x), d)


@case
def op_delitem(compile, x):
    d = {"n": 0, "m": 1}

    def step(x):
        if "m" in d:
            operator.delitem(d, "m")
        return x * len(d)

    f = compile(step)
    yield (f(x), d)
    d["m"] = 3
    yield (f(x), d)
    yield (f(x), d)


@case
def groupby_attr(compile, x):
    a = [Thing(k="a", v=1.0), Thing(k="a", v=2.0), Thing(k="b", v=3.0)]
    f = compile(
        lambda x: (
            x
            * sum(
                (
                    sum((o.v for o in g)) * i
                    for i, (k, g) in enumerate(itertools.groupby(a, key=operator.attrgetter("k")))
                )
            )
        )
    )
    yield f(x)
    a[1].k = "b"
    yield f(x)
    a[2].v = 10.0
    yield f(x)


@case
def counter_update(compile, x):
    c = collections.Counter()

    def step(x):
        c.update(["a", "b", "a"])
        return x * c["a"]

    f = compile(step)
    for _ in range(3):
        yield (f(x), dict(c))


@case
def deepcopy_cfg(compile, x):
    cfg = Thing(a=1.0, l=[1.0, [2.0]])

    def step(x):
        c = copy.deepcopy(cfg)
        c.a += 1
        c.l[1].append(1.0)
        return x * c.a * sum(c.l[1])

    f = compile(step)
    yield (f(x), cfg.l)
    cfg.l[1][0] = 5.0
    yield (f(x), cfg.l)
    cfg.a = 3.0
    yield f(x)


@case
def copy_cfg(compile, x):
    cfg = Thing(a=1.0, l=[1.0])

    def step(x):
        c = copy.copy(cfg)
        c.a += 1
        c.l.append(1.0)
        return x * c.a * sum(c.l)

    f = compile(step)
    for _ in range(3):
        yield (f(x), cfg.l, cfg.a)
    cfg.a = 4.0
    yield f(x)


@case
def deepcopy_slots(compile, x):
    s = Slot(1.0, [2.0])
    f = compile(lambda x: x * copy.deepcopy(s).b[0] * copy.copy(s).a)
    yield f(x)
    s.b[0] = 3.0
    yield f(x)
    s.a = 4.0
    yield f(x)


@case
def deepcopy_dc(compile, x):
    s = Record(2.0, [1.0])
    f = compile(lambda x: x * copy.deepcopy(s).b[0] * dataclasses.replace(s, b=[2.0]).a)
    yield f(x)
    s.b[0] = 3.0
    yield f(x)
    s.a = 4.0
    yield f(x)


@case
def ns_eq(compile, x):
    a = NS(a=1.0)
    b = NS(a=1.0)
    f = compile(lambda x: x * 2 if a == b else x * 3)
    yield f(x)
    b.a = 2.0
    yield f(x)
    a.a = 2.0
    yield f(x)
    a.z = 1
    yield f(x)


@case
def format_attr(compile, x):
    o = Thing(k=1)
    f = compile(lambda x: x * len(f"{o.k}-{o.k}"))
    yield f(x)
    o.k = 100
    yield f(x)


@case
def percent(compile, x):
    d = {"k": [1]}
    f = compile(lambda x: x * len("%(k)s" % d))  # noqa: UP031
    yield f(x)
    d["k"].append(100)
    yield f(x)


@case
def json_dumps(compile, x):
    d = {"k": [1]}
    f = compile(lambda x: x * len(json.dumps(d)))
    yield f(x)
    d["k"].append(100)
    yield f(x)


@case
def dir_of(compile, x):
    o = Thing(a=1.0)
    f = compile(lambda x: x * len([n for n in dir(o) if not n.startswith("_")]))
    yield f(x)
    o.bb = 1
    yield f(x)


@case(may_fall_back="code in C that nobody can look into")
def sort_attrgetter(compile, x):
    l = [Thing(v=3.0), Thing(v=1.0)]

    def step(x):
        l.sort(key=operator.attrgetter("v"))
        return x * l[0].v

    f = compile(step)
    yield f(x)
    l[1].v = 0.5
    yield f(x)
    l.append(Thing(v=0.1))
    yield (f(x), [o.v for o in l])


@case(may_fall_back="code in C that nobody can look into")
def weakset(compile, x):
    os_ = [Thing(k=1.0), Thing(k=2.0)]
    w = weakref.WeakSet(os_)
    f = compile(lambda x: x * sum(o.k for o in w))
    yield f(x)
    os_[0].k = 4.0
    yield f(x)
    os_.append(Thing(k=1.0))
    w.add(os_[-1])
    yield f(x)


@case(may_fall_back="code in C that nobody can look into")
def proxy(compile, x):
    o = Thing(k=1.0)
    p = weakref.proxy(o)
    f = compile(lambda x: x * p.k)
    yield f(x)
    o.k = 2.0
    yield f(x)


@case
def mappingproxy(compile, x):
    d = {"k": 1.0, "l": [1.0]}
    m = types.MappingProxyType(d)
    f = compile(lambda x: x * m["k"] * sum(m["l"]))
    yield f(x)
    d["k"] = 2.0
    yield f(x)
    d["l"].append(3.0)
    yield f(x)


@case
def class_dict(compile, x):

    class C:
        k = 1.0

    f = compile(lambda x: x * C.__dict__["k"] * vars(C)["k"])
    yield f(x)
    C.k = 2.0
    yield f(x)


@case
def dict_merge(compile, x):
    a = {"a": 1.0}
    b = {"b": 2.0}

    def step(x):
        c = a | b
        c["z"] = 1.0
        c2 = {**a, **b}
        return x * sum(c.values()) * sum(c2.values())

    f = compile(step)
    yield (f(x), a)
    b["q"] = 5.0
    yield (f(x), a)


@case
def lru(compile, x):
    o = Thing(k=2.0)

    @functools.lru_cache
    def g(n):
        return o.k * n

    f = compile(lambda x: x * g(2))
    yield f(x)
    o.k = 5.0
    yield f(x)
    g.cache_clear()
    yield f(x)


@case
def lru_mutable(compile, x):

    @functools.lru_cache
    def g(n):
        return [float(n)]

    def step(x):
        g(2).append(1.0)
        return x * sum(g(2))

    f = compile(step)
    for _ in range(3):
        yield (f(x), g(2))


@case
def try_del(compile, x):
    d = {"a": 1.0}

    def step(x):
        try:
            del d["b"]
        except KeyError:
            d["a"] += 1
        return x * d["a"]

    f = compile(step)
    yield (f(x), d)
    yield (f(x), d)
    d["b"] = 2.0
    yield (f(x), d)
    yield (f(x), d)


@case
def try_pop(compile, x):
    l = [1.0]

    def step(x):
        try:
            v = l.pop()
        except IndexError:
            v = 7.0
        return x * v

    f = compile(step)
    yield (f(x), l)
    yield (f(x), l)
    l.append(3.0)
    yield (f(x), l)
    yield (f(x), l)


@case
def try_remove(compile, x):
    l = [1.0]

    def step(x):
        try:
            l.remove(1.0)
        except ValueError:
            l.append(2.0)
        return x * len(l)

    f = compile(step)
    for _ in range(3):
        yield (f(x), l)
    l.insert(0, 1.0)
    yield (f(x), l)


@case
def try_delattr(compile, x):
    o = Thing(n=0)

    def step(x):
        try:
            del o.k
        except AttributeError:
            o.n += 1
        return x * o.n

    f = compile(step)
    yield (f(x), vars(o))
    o.k = 1
    yield (f(x), vars(o))
    yield (f(x), vars(o))


@case(may_fall_back="code in C that nobody can look into")
def try_extend_raises(compile, x):
    l = [1.0]

    def gen():
        yield 2.0
        raise ValueError

    def step(x):
        try:  # noqa: SIM105
            l.extend(gen())
        except ValueError:
            pass
        return x * len(l)

    f = compile(step)
    for _ in range(3):
        yield (f(x), l)


@case
def returns_closure(compile, x):
    o = Thing(k=2.0)

    def step(x):
        s = x.sum()

        def g(y):
            return y * s * o.k

        return g

    f = compile(step)
    g = f(x)
    yield g(x)
    h = f(x * 2)
    yield h(x)
    o.k = 5.0
    yield (h(x), g(x))


@case
def descriptor(compile, x):

    class Scaled:
        def __set_name__(s, o, n):
            s.n = "_" + n

        def __get__(s, i, o):
            return s if i is None else i.__dict__.get(s.n, 1.0) * s.scale

        def __set__(s, i, v):
            i.__dict__[s.n] = v

        scale = 1.0

    class C:
        k = Scaled()

    c = C()

    def step(x):
        c.k = c.k + 1
        return x * c.k

    f = compile(step)
    for _ in range(2):
        yield (f(x), vars(c))
    Scaled.scale = 2.0
    yield (f(x), vars(c))
    C.__dict__["k"].scale = 3.0
    yield (f(x), vars(c))


@case
def mro_changed(compile, x):

    class A:
        k = 1.0

    class A2:
        k = 2.0

    class B(A):
        pass

    b = B()
    f = compile(lambda x: x * b.k)
    yield f(x)
    B.__bases__ = (A2,)
    yield f(x)


@case
def abc_register(compile, x):

    class A(abc.ABC):  # noqa: B024
        pass

    class C:
        pass

    c = C()
    f = compile(lambda x: x * (2 if isinstance(c, A) else 3))
    yield f(x)
    A.register(C)
    yield f(x)


@case(may_fall_back="code in C that nobody can look into")
def np_out(compile, x):
    a = np.zeros(2)

    def step(x):
        np.add(a, 1.0, out=a)
        return x * float(a.sum())

    f = compile(step)
    for _ in range(3):
        yield (f(x), a)


@case(may_fall_back="code in C that nobody can look into")
def np_copyto(compile, x):
    a = np.zeros(2)

    def step(x):
        np.copyto(a, a + 1)
        return x * float(a.sum())

    f = compile(step)
    for _ in range(3):
        yield (f(x), a)


@case(may_fall_back="code in C that nobody can look into")
def bytearray_write(compile, x):
    b = bytearray(b"ab")

    def step(x):
        b.append(3)
        return x * len(b)

    f = compile(step)
    for _ in range(3):
        yield (f(x), bytes(b))


@case
def memoryview_of(compile, x):
    b = bytearray(b"ab")
    m = memoryview(b)
    f = compile(lambda x: x * m[0])
    yield f(x)
    b[0] = 50
    yield f(x)


@case
def frozenset_objs(compile, x):
    a = Thing(k=1.0)
    s = frozenset([a])
    f = compile(lambda x: x * sum(o.k for o in s))
    yield f(x)
    a.k = 3.0
    yield f(x)


@case
def closure_factory_inside(compile, x):
    o = Thing(k=2.0)

    def step(x):

        def make(k):
            t = [k]

            def g(y):
                t[0] += 1
                return y * t[0]

            return g

        g = make(o.k)
        g(x)
        return g(x)

    f = compile(step)
    yield f(x)
    o.k = 5.0
    yield f(x)
    yield f(x)


@case.test
def test_code_in_c(case: Case) -> None:
    case.check()


def test_a_function_that_looks_for_modules_imports_one() -> None:
    @fl.compile(fullgraph=True)
    def f(x: Any) -> Any:
        if sys.modules.get("no such module") is None:
            return x * importlib.import_module("wave").WAVE_FORMAT_PCM
        return x * 2

    before = sys.modules.pop("wave", None)
    try:
        assert f(fl.ones(2)).tolist() == [1, 1] and "wave" in sys.modules
        assert f(fl.ones(2)).tolist() == [1, 1]
    finally:
        sys.modules.pop("wave", None)
        if before is not None:
            sys.modules["wave"] = before
