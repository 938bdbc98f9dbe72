"""Numbers that count, as keys, as lengths, as what functions in C ask for: inputs of one program, and the uncompiled values."""

from __future__ import annotations

import collections
import copy
import types
from collections.abc import Callable, Iterator
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from flambeau.optim import lr_scheduler

case = Table()


def state(**values: Any) -> Any:
    return types.SimpleNamespace(**values)


def counted(s: Any, programs: int | None, calls: int = 9, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A scenario: `step(s, x)` is called some times, and what it gives and its state are shown."""

    def note(step: Callable[..., Any]) -> Any:
        def script(compile: Any, x: Any) -> Iterator[Any]:
            held = s(x) if callable(s) else state(**copy.deepcopy(s))
            function = compile(lambda x: step(held, x))
            for _ in range(calls):
                yield attempt(function, x), {k: v for k, v in vars(held).items() if not isinstance(v, (Replay, Grown))}

        script.__name__ = step.__name__
        case(script, programs=programs, **options)
        return step

    return note


# --- entries ---


@counted({"i": 0, "log": {}, "row": [None] * 12, "lr": 0.5}, 1)
def logged(s, x):
    s.log[s.i] = x.sum() * s.i
    s.row[s.i] = s.lr
    s.lr *= 0.9
    s.i += 1
    return x * s.lr


@counted(lambda x: state(i=0, log={-1: x}, rates={i: 0.1 * i for i in range(12)}, rows=[x * i for i in range(12)]), 2)
def taken(s, x):
    s.log[s.i] = s.log[s.i - 1] * s.rates[s.i] + s.rows[s.i]
    s.i += 1
    return s.log[s.i - 1]


@counted(lambda x: state(i=0, j=5, held={k: x * k for k in range(6)}, row=[x * k for k in range(6)]), 2)
def one_key_may_be_the_other(s, x):
    s.held[s.i] = x * 10 + s.i
    s.row[s.i] = x * 10 + s.i
    y = s.held[s.j] * 2 + s.row[s.j - 6]
    s.i, s.j = (s.i + 1) % 6, (s.j - 1) % 6
    return y


@counted(lambda x: state(i=0, held={k: x * k for k in range(4)}, row=[x * k for k in range(4)]), 8)
def one_key_may_be_in_the_code(s, x):
    s.held[s.i] = x * 10
    s.row[s.i] = x * s.i
    y = s.held[3] * 2 + s.row[-1]
    s.held[2] = x
    z = s.held[s.i]
    s.i = (s.i + 1) % 4
    return y, z


@counted({"i": 0, "held": {}}, 5)
def taken_out(s, x):
    s.held[s.i] = x * s.i
    if s.i >= 3:
        del s.held[s.i - 3]
    s.i += 1
    return x * len(s.held), s.held.get(s.i - 1, x) * 1, 3 in s.held


@counted(
    lambda x: state(
        i=0,
        held={k: x * k for k in range(12)},
        left=dict.fromkeys(range(12), 0.5),
        log={},
        order=collections.OrderedDict(),
    ),
    1,
)
def taken_out_by_name(s, x):
    y = s.held.pop(s.i) * s.left.pop(s.i, 0.0)
    z = s.left.pop(s.i, 2.0) + s.left.pop(s.i + 100, 3) + s.log.setdefault(s.i, s.i * 0.5)
    s.order.setdefault(s.i + 1, x)
    s.order.setdefault(-s.i)
    s.i += 1
    return y + z, s.log.setdefault(s.i - 1, 7) + len(s.log), s.order.pop(s.i) * 2


@counted({"i": 0, "seen": set(), "left": {1: 0.5, 3: 2}, "made": collections.defaultdict(list)}, 8)
def changed_by_keys_there_or_not(s, x):
    y = s.left.setdefault(s.i % 4, 0.25) * x
    s.seen.add(s.i % 3)
    s.made.setdefault(s.i // 2, []).append(s.i)
    if s.i > 5:
        y = y * len(s.seen) + s.left.pop(s.i % 4, 1)
        s.left[s.i % 4] = 3
        y = y + s.left.pop(s.i % 4) + (s.i % 3 in s.seen)
    s.i += 1
    return y, sorted(s.seen) if s.i > 7 else 0, s.left.pop(s.i) if s.i == 9 else 0


@counted({"i": 0, "total": collections.Counter({1: 4}), "made": collections.defaultdict(float, {1: 0.5, 3: 2.0})}, 8)
def what_makes_entries_up(s, x):
    y = s.total.get(s.i % 3, 9) + s.made.get(s.i % 4, 7.0)
    z = s.total.setdefault(s.i % 3, 5) + s.made.pop(s.i % 4, 3.0)
    s.made.setdefault((s.i + 1) % 4, 1.0 + s.i)
    s.i += 1
    return x * y, x * z


@counted({"i": 0, "seen": set()}, 1)
def added(s, x):
    s.seen.add(s.i * 2)
    s.seen.add(s.i)
    s.i += 1
    return x


@counted({"i": 0, "lr": 1.0, "at": {2, 5}, "drops": {4: 0.5, 7: 0.1}}, 4)
def milestones(s, x):
    if s.i in s.at or s.i in [6]:
        s.lr *= 0.1
    s.lr *= s.drops.get(s.i, 1.0)
    s.i += 1
    return x * s.lr


@counted({"i": 0, "counts": {}, "total": collections.Counter()}, 9)
def counts(s, x):
    s.counts[s.i % 3] = s.counts.get(s.i % 3, 0) + 1
    s.total[s.i % 2] += 1
    s.i += 1
    return x * s.counts[0]


@counted({"i": 0, "d": dict.fromkeys(range(3), 0.5), "row": [0.5, 1, True, None, 2.5]}, 7)
def not_there(s, x):
    y = s.row[s.i]
    s.i += 1
    y = x if y is None else x * y
    return y * s.d[s.i]


@case(programs=3)
def replaced_outside(compile, x):
    s = state(i=0, d={k: 0.1 * k for k in range(9)}, rows=[x * k for k in range(9)])

    def step(x):
        y = s.d[s.i] * x + s.rows[s.i]
        s.i += 1
        return y

    f = compile(step)
    for k in range(9):
        s.d[k] = k * 7.0
        s.rows[k] = x * 100 if k % 2 else s.rows[k]
        s.rows[k] = fb.ones(2, 3) if k == 6 else s.rows[k]
        yield f(x), vars(s)


@case(programs=6)
def parameters_in_turn(compile, x):
    ws, s = [fb.ones(3, requires_grad=True) for _ in range(3)], state(i=0)
    optimizer = fb.optim.SGD(ws, lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = (ws[s.i % 3] * x).pow(2).sum()
        loss.backward()
        optimizer.step()
        s.i += 1
        return loss

    def outside(x):
        s.i += 1
        return (ws[s.i % 3] * x).pow(2).sum()

    f, g = compile(step), compile(outside)
    for _ in range(6):
        yield f(x), ws, [w.grad for w in ws]
    for _ in range(6):
        g(x).backward()
        yield [w.grad for w in ws]


@case(programs=5)
def entries_that_are_arguments(compile, x):
    s = state(i=0, rows=[fb.ones(3) * k for k in range(4)])

    def step(x):
        s.rows[s.i % 4].mul_(2)
        y = s.rows[s.i % 4] * x
        s.last = s.rows[(s.i + 1) % 4]
        s.i += 1
        return y

    f = compile(step)
    for k in range(8):
        y = f(s.rows[(k * 3) % 4])
        s.last.add_(1)
        yield y, vars(s)


# --- lengths ---


@counted({"h": [], "seen": {}, "last": collections.deque(maxlen=3)}, 1)
def lengths(s, x):
    before = len(s.h)
    s.h.append(x.sum())
    s.seen[len(s.seen)] = before
    s.last.append(x)
    return x * len(s.h) + len(s.seen) / len(s.last)


@counted({"h": [], "more": [1, 2]}, 6)
def lengths_of_what_is_changed(s, x):
    s.h.extend(s.more)
    s.h += [3]
    n = len(s.h)
    if n > 6:
        s.h.clear()
    return x * len(s.h), x * 2 if s.h else x, f"{n}" if n > 5 else ""


@case(programs=5)
def grown_outside(compile, x):
    s = state(h=[], names=set())

    def step(x):
        return (x * 2 if len(s.h) < 3 else x * 3) * len(s.names) if s.h else x

    f = compile(step)
    for k in range(9):
        yield f(x)
        s.h.append(k)
        s.names.add(k // 2)


class Replay:
    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.at = 0

    def push(self, row: Any) -> None:
        if len(self.rows) < 4:
            self.rows.append(row)
        else:
            self.rows[self.at] = row
        self.at = (self.at + 1) % 4

    def __len__(self) -> int:
        return len(self.rows)

    def __index__(self) -> int:
        return self.at

    def __float__(self) -> float:
        return self.at * 0.5

    def __hash__(self) -> int:
        return self.at % 2


@counted(lambda x: state(replay=Replay()), 2)
def a_replay_buffer(s, x):
    s.replay.push(x * s.replay.at)
    return x / len(s.replay), x * float(s.replay)


class Grown(collections.UserList):
    pass


@counted(lambda x: state(rows=Grown([1.0]), n=0), 9, 5)
def summed_by_code_in_python(s, x):
    s.n += 1
    s.rows.append(0.5 * s.n)
    return x * sum(s.rows), max(s.rows), len(s.rows), x * sum(v * s.n for v in s.rows)


class Shrinking:
    def __init__(self, s: Any) -> None:
        self.s = s

    def __len__(self) -> int:
        return 2 - self.s.n


@counted({"n": 0}, 3, 5)
def a_length_below_zero(s, x):
    s.n += 1
    try:
        return x * len(Shrinking(s))
    except ValueError as error:
        return str(error)


# What functions in C ask of a number, or of an object.


@counted(lambda x: state(replay=Replay(), row=list(range(5))), 9, 5)
def asked_by_functions_in_c(s, x):
    s.replay.push(x)
    return x * s.row[s.replay], x * hash(s.replay), x * 2 if s.replay else x, list(range(s.replay))


@counted({"n": 0}, 6, 5)
def asked_for_its_type(s, x):
    s.n += 1
    n, y = s.n, x
    if isinstance(n, int) and not isinstance(n * 0.5, (int, str)) and not isinstance(n, float):
        y = x * n
    match n:
        case float():
            y = y * 0
        case int():
            y = y + 1
    return y


@counted({"n": 3}, 5, 6)
def powers(s, x):
    s.n -= 1
    return x * 2**s.n, s.n**2, (-2) ** s.n, 10**-s.n, 2.0**s.n


# --- indices and schedules ---


@counted(lambda x: state(i=0, b=fb.arange(40.0).reshape(2, 20)), 1)
def lists_among_indices(s, x):
    y = s.b[:, [s.i, s.i + 1]] * 2 + s.b[fb.arange(2), s.i][:, None]
    s.b[1, [s.i, -s.i - 1]] = x[:2]
    s.b[x[:2] > 1, s.i] = 7.0
    s.i += 1
    return y


SCHEDULES: dict[str, Any] = {
    "warm_restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "steps": lambda o: lr_scheduler.StepLR(o, 3),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda e: 0.9**e),
}
for name, made in SCHEDULES.items():

    def with_an_epoch(compile, x, made=made):
        w = fb.ones(3, requires_grad=True)
        optimizer = fb.optim.SGD([w], lr=1.0)
        schedule, s = made(optimizer), state(e=0)

        def step(x):
            optimizer.zero_grad()
            loss = (w * x).pow(2).sum()
            loss.backward()
            optimizer.step()
            s.e += 1
            schedule.step(s.e / 4 if isinstance(schedule, lr_scheduler.CosineAnnealingWarmRestarts) else s.e)
            return loss

        f = compile(step)
        for _ in range(9):
            yield f(x), w, optimizer.param_groups[0]["lr"], schedule.last_epoch

    with_an_epoch.__name__ = name
    case(with_an_epoch, programs=1)


@case.test
def test_counting(case: Case) -> None:
    case.check()
