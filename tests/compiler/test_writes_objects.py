"""What a compiled function writes into attributes and objects happens at every call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import operator
import weakref
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Box, count_up

case = Table()


@case
def attribute_appears(compile, x):
    class Model:
        def step(self, x):
            if not hasattr(self, "start"):
                self.start = x.sum()
            return x - self.start

    model = Model()
    f = compile(model.step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), model.start


@case
def attribute_made_lazily(compile, x):
    class Model:
        w = None

        def step(self, x):
            if self.w is None:
                self.w = fb.ones(len(x)) * 2
            return x * self.w

    model = Model()
    f = compile(model.step)
    yield f(x), model.w
    yield f(x), model.w
    model.w = None
    yield f(x[:2]), model.w
    model.w = fb.zeros(2)
    yield f(x[:2]), model.w


@case
def attribute_deleted(compile, x):
    box = Box(once=5.0)

    def step(x):
        if hasattr(box, "once"):
            k = box.once
            del box.once
            return x * k
        return x

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(box)
    box.once = 7.0
    yield f(x), vars(box)


@case
def attributes_swapped(compile, x):
    box = Box(a=fb.tensor(1.0), b=fb.tensor(2.0))
    first = box.a

    def step(x):
        box.a, box.b = box.b, box.a
        return x * box.a

    f = compile(step)
    for _ in range(3):
        yield f(x), box.a, box.b, box.a is first, box.b is first


@case
def numbers_swapped(compile, x):
    box = Box(a=1.0, b=2.0)

    def step(x):
        box.a, box.b = box.b, box.a
        return x * box.a

    f = compile(step)
    for _ in range(3):
        yield f(x), box.a, box.b


@case
def setattr_with_a_name(compile, x):
    box = Box(i=0)

    def step(x):
        setattr(box, f"value{box.i}", x.sum())
        box.i += 1
        return x * len(vars(box))

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), vars(box)


@case
def dict_of_an_object_updated(compile, x):
    box = Box(a=1)

    def step(x):
        vars(box).update(a=box.a + 1, last=x.sum())
        box.__dict__["b"] = box.a * 2
        return x * box.b

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(box)


@case
def slots_written(compile, x):
    class Point:
        __slots__ = ("n", "last")

    point = Point()
    point.n = 0

    def step(x):
        point.n += 1
        point.last = x.sum()
        return x * point.n

    f = compile(step)
    for _ in range(3):
        yield f(x), point.n, point.last


@case
def property_setter(compile, x):
    class Model:
        def __init__(self):
            self._n, self.sets = 0, 0

        @property
        def n(self):
            return self._n

        @n.setter
        def n(self, value):
            self._n = value
            self.sets += 1

    model = Model()

    def step(x):
        model.n += 2
        return x * model.n

    f = compile(step)
    for _ in range(3):
        yield f(x), model.n, model.sets


@case
def own_setattr(compile, x):
    class Logged:
        def __init__(self):
            object.__setattr__(self, "log", [])

        def __setattr__(self, name, value):
            self.log.append(name)
            object.__setattr__(self, name, value)

    box = Logged()
    box.n = 0

    def step(x):
        box.n += 1
        return x * box.n

    f = compile(step)
    for _ in range(3):
        yield f(x), box.n, box.log


@case
def dataclass_field_written(compile, x):
    @dataclasses.dataclass
    class State:
        n: int = 0
        total: float = 0.0

    state = State()

    def step(x, k):
        state.n += 1
        state.total += k
        return x * (state.total / state.n)

    f = compile(step)
    for k in (1.0, 2.0, 6.0):
        yield f(x, k), state


@case
def frozen_dataclass_replaced(compile, x):
    @dataclasses.dataclass(frozen=True)
    class State:
        n: int = 0
        w: Any = None

    box = Box(state=State())

    def step(x):
        box.state = dataclasses.replace(box.state, n=box.state.n + 1, w=x.sum())
        return x * box.state.n

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), box.state


@case
def nested_objects_written(compile, x):
    root = Box(stats=Box(inner=Box(n=0)), other=None)

    def step(x):
        root.stats.inner.n += 1
        root.other = root.stats
        return x * root.other.inner.n

    f = compile(step)
    for _ in range(3):
        yield f(x), root.stats.inner.n, root.other is root.stats
    root.stats = Box(inner=Box(n=10))
    yield f(x), root.stats.inner.n, root.other is root.stats


@case
def object_replaced_each_call(compile, x):
    class Hidden:
        def __init__(self, h, t):
            self.h, self.t = h, t

    box = Box(state=Hidden(fb.zeros(3), 0))

    def step(x):
        old = box.state
        box.state = Hidden(old.h * 0.5 + x, old.t + 1)
        return box.state.h * box.state.t

    f = compile(step)
    before = box.state
    for _ in range(3):
        yield f(x), box.state.h, box.state.t, box.state is before, before.t
        before = box.state


@case
def linked_list_grows(compile, x):
    box = Box(head=None)

    def step(x):
        box.head = (x.sum(), box.head)
        depth, node = 0, box.head
        while node is not None:
            depth, node = depth + 1, node[1]
        return x * depth

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), box.head


@case
def callback_object(compile, x):
    class Meter:
        def __init__(self):
            self.total, self.count = 0.0, 0

        def update(self, value, n=1):
            self.total = self.total + value * n
            self.count += n

        @property
        def mean(self):
            return self.total / self.count

    meter = Meter()

    def step(x):
        meter.update(x.sum().detach(), len(x))
        return x - meter.mean

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), meter.total, meter.count, meter.mean


@case
def module_level_cache_filled_once(compile, x):
    cache: dict[int, Any] = {}

    def mask(n):
        if n not in cache:
            cache[n] = fb.ones(n).cumsum(0)
        return cache[n]

    f = compile(lambda x: x * mask(len(x)))
    yield f(x), cache
    kept = cache[3]
    yield f(x), cache, cache[3] is kept
    yield f(x[:2]), cache
    cache[3].fill_(0.0)
    yield f(x), cache


@case
def memoized_with_lru_cache(compile, x):
    calls = []

    @functools.lru_cache
    def gain(n):
        calls.append(n)
        return float(n)

    f = compile(lambda x, n: x * gain(n))
    yield f(x, 1), calls
    yield f(x, 1), calls
    yield f(x, 2), calls, gain.cache_info().misses


@case
def context_manager_counts(compile, x):
    box = Box(entered=0, left=0)

    @contextlib.contextmanager
    def region():
        box.entered += 1
        try:
            yield box.entered
        finally:
            box.left += 1

    def step(x):
        with region() as n:
            return x * n

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(box)


@case
def try_finally_and_else(compile, x):
    box = Box(tried=0, finished=0, other=0)

    def step(x):
        try:
            box.tried += 1
            y = x * box.tried
        except ValueError:
            raise
        else:
            box.other += 2
        finally:
            box.finished += 1
        return y

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(box)


@case
def exception_caught_inside(compile, x):
    box = Box(caught=0)

    def step(x):
        try:
            raise KeyError("expected")
        except KeyError:
            box.caught += 1
        return x * box.caught

    f = compile(step)
    for _ in range(3):
        yield f(x), box.caught


@case
def write_in_a_comprehension(compile, x):
    box = Box(n=0)
    f = compile(lambda x: sum([x * count_up(box) for _ in range(3)]))
    for _ in range(3):
        yield f(x), box.n


@case
def write_in_a_generator(compile, x):
    box = Box(n=0)

    def terms(x):
        for _ in range(2):
            box.n += 1
            yield x * box.n

    f = compile(lambda x: sum(terms(x)))
    for _ in range(3):
        yield f(x), box.n


@case
def write_by_a_walrus_and_augmented_operators(compile, x):
    box = Box(n=1, bits=0b1, flag=False)

    def step(x):
        if (n := box.n + 1) > 2:
            box.flag |= True
        box.n = n
        box.bits = operator.ixor(box.bits, 0b11)
        return x * n + box.bits

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(box)


@case
def write_through_an_alias(compile, x):
    a = Box(n=0)
    b = a

    def step(x):
        b.n += 1
        return x * a.n

    f = compile(step)
    yield f(x), a.n
    yield f(x), a.n
    b = Box(n=100)
    yield f(x), a.n, b.n


@case
def counter_of_an_object_in_a_list_that_grows_outside(compile, x):
    boxes = [Box(n=0)]

    def step(x):
        for box in boxes:
            box.n += 1
        return x * sum(box.n for box in boxes)

    f = compile(step)
    yield f(x), [b.n for b in boxes]
    boxes.append(Box(n=10))
    yield f(x), [b.n for b in boxes]
    yield f(x), [b.n for b in boxes]


@case
def write_that_restores(compile, x):
    box = Box(scale=1.0)

    def step(x):
        old, box.scale = box.scale, 5.0
        y = x * box.scale
        box.scale = old
        return y + box.scale

    f = compile(step)
    yield f(x), box.scale
    box.scale = 2.0
    yield f(x), box.scale


@case
def write_of_a_function(compile, x):
    box = Box(act=fb.sin)

    def step(x):
        y = box.act(x)
        box.act = fb.cos if box.act is fb.sin else fb.sin
        return y

    f = compile(step)
    for _ in range(3):
        yield f(x), box.act is fb.sin


@case
def methods_of_an_objects_dict(compile, x):
    box = Box(n=1.0)

    def step(x):
        kept = box.__dict__.setdefault("kept", 4.0)
        box.kept = kept * 0.5
        taken = box.__dict__.pop("n")
        box.n = taken + 1
        box.__dict__["count"] = box.__dict__.setdefault("count", 0) + 1
        return x * kept + taken

    f = compile(step)
    for _ in range(3):
        yield f(x), sorted(box.__dict__.items())
    box.n, box.kept = 7.0, 3.0
    yield f(x), sorted(box.__dict__.items())


@case
def descriptor_that_keeps_its_value_in_the_objects_dict(compile, x):
    class Rate:
        def __get__(self, box, owner=None):
            return box.__dict__.setdefault("_rate", 1.0)

        def __set__(self, box, value):
            box.__dict__["_rate"] = value

    class Boxed(Box):
        rate = Rate()

    box = Boxed()

    def step(x):
        box.rate = box.rate * 0.5
        return x * box.rate

    f = compile(step)
    for _ in range(3):
        yield f(x), dict(box.__dict__)


@case(may_fall_back="__del__")
def finalizer_of_what_is_made_inside(compile, x):
    gone = []

    class Guard:
        def __del__(self):
            gone.append(len(gone))

    def step(x):
        guard = Guard()
        y = x * 2
        del guard
        return y + len(gone)

    f = compile(step)
    for _ in range(3):
        yield f(x), list(gone)


def closing(log):
    """Numbers; the end of them is noted."""
    try:
        yield from range(5)
    finally:
        log.append("closed")


@case(may_fall_back="the end of a generator that is left")
def a_generator_that_is_left_in_a_try(compile, x):
    log = []

    def leaves(x):
        for i in closing(log):
            x = x + i
            if i == 2:
                break
        return x * (1 + len(log))

    def lets_go(x):
        it = closing(log)
        x = x + next(it)
        del it
        return x * (1 + len(log))

    def holds(x):
        it = closing(log)
        return x * (next(it) + len(log))

    for function in (leaves, lets_go, holds):
        f = compile(function)
        for _ in range(3):
            yield f(x), log


@case
def a_generator_that_is_closed_or_has_no_block(compile, x):
    log = []

    def counted():
        for i in range(5):
            log.append(i)
            yield i

    def step(x):
        it = closing(log)
        x = x + next(it)
        it.close()
        for i in counted():
            if i:
                break
        return x * (1 + len(log))

    f = compile(step)
    for _ in range(3):
        yield f(x), log


@case(may_fall_back="a callback of a weak reference")
def a_weak_reference_with_a_callback(compile, x):
    gone = []

    def step(x):
        box = Box(n=1)
        ref = weakref.ref(box, lambda _: gone.append(len(gone)))
        box = None
        return x * (1 + len(gone)) if ref is not None else x

    f = compile(step)
    for _ in range(3):
        yield f(x), list(gone)


@case.test
def test_objects(case: Case) -> None:
    case.check()
