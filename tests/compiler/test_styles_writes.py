"""Unusual ways to change state, one for each way in which people write Python."""

from __future__ import annotations

import functools
import logging
import types
from typing import Any, ClassVar

import flambeau as fb
from compiler.scenarios import Case, Table, attempt

case = Table()


@case
def mutable_default_argument(compile, x):
    def step(x, seen=[]):  # noqa: B006
        seen.append(len(x))
        return x * len(seen)

    f = compile(step)
    for _ in range(3):
        yield f(x), step.__defaults__[0]


@case
def getter_and_setter_closures(compile, x):
    def make(value):
        def get():
            return value

        def put(new):
            nonlocal value
            value = new

        return get, put

    get, put = make(1.0)

    def step(x):
        put(get() * 2)
        return x * get()

    f = compile(step)
    yield f(x), get()
    yield f(x), get()
    put(0.5)
    yield f(x), get()


@case
def counting_decorator(compile, x):
    def counted(function):
        @functools.wraps(function)
        def wrapper(*args):
            wrapper.calls += 1
            return function(*args)

        wrapper.calls = 0
        return wrapper

    @counted
    def helper(x):
        return x * 2

    f = compile(lambda x: helper(helper(x)) + helper.calls)
    for _ in range(3):
        yield f(x), helper.calls


@case
def class_decorator_and_callable_class(compile, x):
    class Counted:
        def __init__(self, function):
            self.function, self.calls = function, 0

        def __call__(self, x):
            self.calls += 1
            return self.function(x) * self.calls

    @compile
    @Counted
    def step(x):
        return x + 1

    for _ in range(3):
        yield step(x)


@case(may_fall_back="an object gets another __dict__")
def borg_and_singleton(compile, x):
    class Borg:
        shared: ClassVar[dict[str, Any]] = {}

        def __init__(self):
            self.__dict__ = self.shared

    Borg().k = 1.0

    def step(x):
        state = Borg()
        state.n = getattr(state, "n", 0) + 1
        return x * state.k * state.n

    f = compile(step)
    yield f(x), dict(Borg.shared)
    Borg().k = 2.0
    yield f(x), dict(Borg.shared)


@case
def double_buffer(compile, x):
    buffers, box = [fb.zeros(3), fb.ones(3)], types.SimpleNamespace(i=0)

    def step(x):
        box.i ^= 1
        buffers[box.i].mul_(0.5).add_(x)
        return buffers[box.i] - buffers[box.i ^ 1]

    f = compile(step)
    for _ in range(4):
        yield f(x), buffers


@case
def stack_machine(compile, x):
    stack: list[Any] = []

    def push(value):
        stack.append(value)

    def step(x):
        push(x)
        push(x * 2)
        b, a = stack.pop(), stack.pop()
        push(a + b)
        if len(stack) > 2:
            push(stack.pop() - stack.pop())
        return stack[-1]

    f = compile(step)
    for k in (1.0, 2.0, 3.0, 4.0):
        yield f(x * k), stack


@case
def observer_pattern(compile, x):
    class Subject:
        def __init__(self):
            self.listeners, self.events = [], []

        def emit(self, *event):
            for listener in self.listeners:
                listener(*event)

    subject = Subject()
    subject.listeners.append(lambda name, value: subject.events.append((name, value)))

    def step(x):
        subject.emit("start", len(subject.events))
        y = x * 2
        subject.emit("end", y.sum())
        return y

    f = compile(step)
    yield f(x), subject.events
    subject.listeners.append(lambda name, value: subject.events.append(name))
    yield f(x), subject.events
    subject.listeners.clear()
    yield f(x), subject.events


@case
def coroutine_kept_outside_is_told(compile, x):
    f = compile(lambda x: x * len(list(numbers())))

    def numbers():
        yield from range(limit)

    limit = 2
    yield f(x)
    limit = 4
    yield f(x)


@case(may_fall_back="a generator's place cannot be looked into")
def averaging_coroutine(compile, x):
    def averager():
        total, count, mean = 0.0, 0, None
        while True:
            total = total + (yield mean)
            count += 1
            mean = total / count

    average = averager()
    next(average)
    f = compile(lambda x: x - average.send(x.mean()))
    for k in (1.0, 2.0, 3.0):
        yield f(x * k)


@case(may_fall_back="text is written at each call")
def logging_module(compile, x):
    records: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    logger = logging.Logger("step")
    logger.addHandler(Handler())
    box = types.SimpleNamespace(n=0)

    def step(x):
        box.n += 1
        logger.info("call %d of shape %s", box.n, tuple(x.shape))
        logger.debug("not shown")
        return x * 2

    f = compile(step)
    for _ in range(3):
        yield f(x), records


@case
def undo_and_redo(compile, x):
    box = types.SimpleNamespace(value=fb.zeros(3), undo=[], redo=[])

    def step(x, what):
        if what == "add":
            box.undo.append(box.value)
            box.value = box.value + x
            box.redo.clear()
        elif what == "undo" and box.undo:
            box.redo.append(box.value)
            box.value = box.undo.pop()
        return box.value * 1

    f = compile(step)
    for what in ("add", "add", "undo", "add"):
        yield f(x, what), box.value, len(box.undo), len(box.redo)


@case
def bank_account_with_an_error(compile, x):
    class Account:
        def __init__(self):
            self.balance, self.log = 10, []

        def take(self, k):
            if k > self.balance:
                self.log.append("refused")
                raise ValueError("not enough")
            self.balance -= k
            self.log.append(k)

    account = Account()

    def step(x, k):
        account.take(k)
        return x * account.balance

    f = compile(step)
    yield f(x, 3), account.balance, account.log
    yield attempt(f, x, 8), account.balance, account.log
    yield f(x, 4), account.balance, account.log


@case
def chained_comparison_and_conditional_writes(compile, x):
    box = types.SimpleNamespace(low=0, high=4, guess=2, tries=0)

    def step(x, target):
        box.tries += 1
        if box.low <= box.guess < target:
            box.low = box.guess + 1
        elif target < box.guess <= box.high:
            box.high = box.guess - 1
        box.guess = (box.low + box.high) // 2
        return x * box.guess

    f = compile(step)
    for target in (4, 4, 4, 0):
        yield f(x, target), box


@case
def text_built_up(compile, x):
    box = types.SimpleNamespace(lines=[], seen=set())

    def step(x, name):
        box.lines.append(f"{len(box.lines):02d} {name!r:>5} {tuple(x.shape)}")
        box.seen |= {name.upper()}
        return x * len(" ".join(box.lines))

    f = compile(step)
    for name in ("a", "b", "a"):
        yield f(x, name), box.lines, box.seen


@case
def matrix_of_lists(compile, x):
    grid = [[0] * 3 for _ in range(2)]

    def step(x):
        for i, row in enumerate(grid):
            for j in range(len(row)):
                row[j] += i + j
        return x * sum(map(sum, grid))

    f = compile(step)
    for _ in range(3):
        yield f(x), grid
    grid[1] = [9, 9, 9]
    yield f(x), grid


@case
def same_list_twice(compile, x):
    row = [1.0]
    grid = [row, row]

    def step(x):
        grid[0].append(2.0)
        return x * sum(map(sum, grid))

    f = compile(step)
    yield f(x), grid, grid[0] is grid[1]
    grid[1] = [100.0]
    yield f(x), grid
    yield f(x), row


@case.test
def test_styles(case: Case) -> None:
    case.check()
