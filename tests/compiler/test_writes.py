"""What a compiled function writes into plain Python state happens at every call: numbers and names."""

from __future__ import annotations

import enum
import types
from typing import Any

import pytest

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Box, count_up

case = Table()

COUNT: Any = 0
BEST: Any = None


# ---------------------------------------------------------------------------------------------- numbers


@case
def counter_of_self(compile, x):
    class Model:
        n = 0

        def step(self, x):
            self.n += 1
            return x * self.n

    model = Model()
    f = compile(model.step)
    for _ in range(3):
        yield f(x), model.n, Model.n
    model.n = 10
    yield f(x), model.n


@case
def counter_only_written(compile, x):
    box = Box(n=0)

    def step(x):
        box.n += 1
        return x * 2

    f = compile(step)
    for _ in range(3):
        yield f(x), box.n
    box.n = 100
    yield f(x), box.n


@case
def float_counter(compile, x):
    box = Box(t=0.0)

    def step(x):
        box.t += 0.1
        return x * box.t

    f = compile(step)
    for _ in range(4):
        yield f(x), box.t


@case
def counter_in_a_helper(compile, x):
    box = Box(n=0)
    f = compile(lambda x: x * count_up(box))
    for _ in range(3):
        yield f(x), box.n


@case
def counter_of_the_argument(compile, x):
    def step(box, x):
        box.n += 1
        return x * box.n

    f = compile(step)
    a, b = Box(n=0), Box(n=100)
    yield f(a, x), a.n
    yield f(b, x), a.n, b.n
    yield f(a, x), a.n, b.n


@case
def nonlocal_counter(compile, x):
    n = 0

    def step(x):
        nonlocal n
        n += 1
        return x * n

    f = compile(step)
    for _ in range(3):
        yield f(x), n
    n = 50
    yield f(x), n


@case
def global_counter(compile, x):
    global COUNT
    COUNT = 0

    def step(x):
        global COUNT
        COUNT += 1
        return x * COUNT

    f = compile(step)
    for _ in range(3):
        yield f(x), COUNT
    COUNT = 50
    yield f(x), COUNT


@case
def global_by_globals(compile, x):
    globals()["COUNT"] = 0

    def step(x):
        globals()["COUNT"] += 2
        return x * COUNT

    f = compile(step)
    for _ in range(3):
        yield f(x), COUNT


@case
def class_counter(compile, x):
    class Model:
        made = 0

        def step(self, x):
            type(self).made += 1
            Model.made += 10
            return x * self.made

    model = Model()
    f = compile(model.step)
    for _ in range(3):
        yield f(x), Model.made, "made" in vars(model)


@case
def function_attribute_counter(compile, x):
    def step(x):
        step.calls = getattr(step, "calls", 0) + 1
        return x * step.calls

    f = compile(step)
    for _ in range(3):
        yield f(x), step.calls


@case
def two_counters_that_depend_on_each_other(compile, x):
    box = Box(a=0, b=1)

    def step(x):
        box.a, box.b = box.b, box.a + box.b
        return x * box.a

    f = compile(step)
    for _ in range(4):
        yield f(x), box.a, box.b


@case
def counters_of_two_objects(compile, x):
    boxes = [Box(n=0), Box(n=10)]

    def step(x):
        for i, box in enumerate(boxes):
            box.n += i + 1
        return x * boxes[0].n + boxes[1].n

    f = compile(step)
    for _ in range(3):
        yield f(x), [box.n for box in boxes]


@case
def counter_with_many_operators(compile, x):
    box = Box(a=7, b=2.0, c=True, d=1)

    def step(x):
        box.a //= 2
        box.b **= 2
        box.c = not box.c
        box.d = (box.d << 1) % 5
        return x * box.a + box.b + box.c + box.d

    f = compile(step)
    for _ in range(4):
        yield f(x), vars(box)


@case
def counter_and_a_branch(compile, x):
    box = Box(n=0)

    def step(x):
        box.n += 1
        return x * 100 if box.n % 2 == 0 else x

    f = compile(step)
    for _ in range(4):
        yield f(x), box.n


@case
def warm_up_then_steady(compile, x):
    box = Box(n=0)

    def step(x):
        box.n += 1
        return x * min(box.n / 3, 1.0)

    f = compile(step)
    for _ in range(4):
        yield f(x), box.n


@case
def schedule_with_math(compile, x):
    import math

    box = Box(n=0)

    def step(x):
        lr = 0.5 * (1 + math.cos(math.pi * box.n / 4))
        box.n += 1
        return x * lr, lr

    f = compile(step)
    for _ in range(4):
        yield f(x)


@case
def counter_modulo_wraps(compile, x):
    box = Box(i=0, ks=[1.0, 2.0, 3.0])

    def step(x):
        k = box.ks[box.i]
        box.i = (box.i + 1) % 3
        return x * k

    f = compile(step)
    for _ in range(4):
        yield f(x), box.i


@case
def counter_indexes_a_tensor(compile, x):
    box, table = Box(i=0), fb.arange(4.0)

    def step(x):
        y = x * table[box.i]
        box.i += 1
        return y

    f = compile(step)
    for _ in range(4):
        yield f(x), box.i


@case
def counter_makes_the_shape(compile, x):
    box = Box(n=0)

    def step(x):
        box.n += 1
        return x[: box.n]

    f = compile(step)
    for _ in range(3):
        yield f(x), box.n


@case
def counter_as_exponent_and_step(compile, x):
    box = Box(t=0)

    def step(x):
        box.t += 1
        return x / (1 - 0.9**box.t)

    f = compile(step)
    for _ in range(4):
        yield f(x)


@case
def counter_changes_its_type(compile, x):
    box = Box(n=0)

    def step(x):
        box.n = box.n + 1 if box.n < 2 else box.n * 1.5
        return x * box.n

    f = compile(step)
    for _ in range(4):
        yield f(x), box.n


@case
def counter_from_none(compile, x):
    box = Box(n=None)

    def step(x):
        box.n = 1 if box.n is None else box.n + 1
        return x * box.n

    f = compile(step)
    for _ in range(3):
        yield f(x), box.n
    box.n = None
    yield f(x), box.n


@case
def counter_beyond_64_bits(compile, x):
    box = Box(n=2**62)

    def step(x):
        box.n *= 3
        return x * (box.n % 1000)

    f = compile(step)
    for _ in range(4):
        yield f(x), box.n


@case
def string_grows(compile, x):
    box = Box(name="a")

    def step(x):
        box.name += "b"
        return x * len(box.name)

    f = compile(step)
    for _ in range(3):
        yield f(x), box.name


@case
def enum_state_machine(compile, x):
    class Phase(enum.Enum):
        WARM = 1
        RUN = 2

    box = Box(phase=Phase.WARM)

    def step(x):
        y = x if box.phase is Phase.WARM else x * 2
        box.phase = Phase.RUN
        return y

    f = compile(step)
    for _ in range(3):
        yield f(x), box.phase
    box.phase = Phase.WARM
    yield f(x), box.phase


@case
def counter_returned(compile, x):
    box = Box(n=0)

    def step(x):
        box.n += 1
        return x, box.n, f"step {box.n}", {"n": box.n, "half": box.n / 2}

    f = compile(step)
    for _ in range(3):
        yield f(x)


@case
def exponential_mean_of_numbers(compile, x):
    box = Box(mean=0.0)

    def step(x, v):
        box.mean = 0.5 * box.mean + 0.5 * v
        return x * box.mean

    f = compile(step)
    for v in (1.0, 2.0, 3.0, 7):
        yield f(x, v), box.mean


@case
def exponential_mean_of_tensors(compile, x):
    box = Box(mean=0.0)

    def step(x):
        box.mean = 0.5 * box.mean + 0.5 * x.mean()
        return x - box.mean

    f = compile(step)
    for i in range(4):
        yield f(x * i), box.mean


@case
def best_and_worst_of_numbers(compile, x):
    box = Box(best=float("inf"), worst=None)

    def step(x, loss):
        if loss < box.best:
            box.best = loss
        box.worst = loss if box.worst is None else max(box.worst, loss)
        return x * box.best

    f = compile(step)
    for loss in (3.0, 1.0, 2.0, 5.0):
        yield f(x, loss), box.best, box.worst


@case
def best_of_tensors(compile, x):
    box = Box(best=fb.tensor(float("inf")))

    def step(x):
        box.best = fb.minimum(box.best, x.sum())
        return x - box.best

    f = compile(step)
    for k in (2.0, 1.0, 3.0):
        yield f(x * k), box.best


@case
def config_best(compile, x):
    cfg = types.SimpleNamespace(best=None, seen=0)

    def step(x):
        cfg.best = x.sum()
        cfg.seen += len(x)
        return x * 2

    f = compile(step)
    yield f(x), cfg
    yield f(x[:2]), cfg
    yield f(x * 3), cfg


@case.test
def test_writes(case: Case) -> None:
    case.check()


def test_memory_made_inside_is_new_at_each_call() -> None:
    """Also where a tensor of it is written to: zeros are zeros again."""
    x, index = fb.ones(4), fb.tensor([0, 1, 1, 3])

    def step() -> list[fb.Tensor]:
        sums = fb.zeros(4).index_add_(0, index, x * 2)
        counted = fb.tensor([1.0, 2.0, 3.0, 4.0])
        counted += x
        like = fb.zeros_like(x)
        like[1:] += x[1:]
        return [sums, counted, like]

    compiled = fb.compile(step)
    for _ in range(3):
        assert [t.tolist() for t in compiled()] == [[2, 4, 0, 2], [2, 3, 4, 5], [0, 1, 1, 1]]


def test_a_seed_set_inside_is_set_at_each_call() -> None:
    def step() -> fb.Tensor:
        fb.manual_seed(0)
        return fb.rand(2)

    compiled = fb.compile(step)
    with pytest.warns(UserWarning, match="runs uncompiled"):
        assert compiled().tolist() == compiled().tolist() == step().tolist()
