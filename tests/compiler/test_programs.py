"""How many programs a compiled function makes: what changes from call to call costs no new program for each value."""

from __future__ import annotations

import dataclasses
import gc
import math
import types
import warnings
import weakref
from math import sqrt
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table, attempt, executions
from flambeau import nn

case = Table()


@dataclasses.dataclass
class Batch:
    x: Any
    y: Any


# ----------------------------------------------------------------------------------------- Python's state


@case(programs=2)
def counter_of_an_object(compile, x):
    box = types.SimpleNamespace(n=0)

    def step(x):
        box.n += 1
        return x * box.n

    f = compile(step)
    for _ in range(12):
        yield f(x), box.n


@case(programs=2)
def counter_of_a_module(compile, x):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.total = 0, 0.0

        def forward(self, x):
            self.calls += 1
            self.total += 0.5
            return x * self.total

    m = nn.Sequential(Counting())
    f = compile(m)
    for _ in range(12):
        yield f(x), m[0].calls, m[0].total


@case(programs=1)
def counter_that_nothing_is_computed_with(compile, x):
    box = types.SimpleNamespace(n=0, log={})

    def step(x):
        box.n += 1
        box.log["last"] = x.sum()
        return x * 2

    f = compile(step)
    for _ in range(8):
        yield f(x), box.n, box.log


@case(programs=2)
def nonlocal_and_dict_counters(compile, x):
    n, table = 0, {"n": 0}

    def step(x):
        nonlocal n
        n += 1
        table["n"] += 2
        return x * n + table["n"]

    f = compile(step)
    for _ in range(8):
        yield f(x), n, table


@case(programs=2)
def mean_of_tensors(compile, x):
    box = types.SimpleNamespace(mean=fb.zeros(3))

    def step(x):
        box.mean = 0.5 * box.mean + 0.5 * x
        return x - box.mean

    f = compile(step)
    for i in range(8):
        yield f(x * i), box.mean


@case(programs=3)
def mean_of_numbers(compile, x):
    box = types.SimpleNamespace(mean=0.0)

    def step(x, v):
        box.mean = 0.5 * box.mean + 0.5 * v
        return x * box.mean

    f = compile(step)
    for i in range(10):
        yield f(x, i / 7), box.mean


@case(programs=2)
def mean_that_starts_as_none(compile, x):
    box = types.SimpleNamespace(mean=None)

    def step(x):
        box.mean = x if box.mean is None else 0.5 * box.mean + 0.5 * x
        return x - box.mean

    f = compile(step)
    for i in range(8):
        yield f(x * i), box.mean


@case(programs=2)
def history_appended(compile, x):
    history = []

    def step(x):
        history.append(x.sum())
        return x * 2

    f = compile(step)
    for i in range(8):
        yield f(x * i), history


@case(programs=3)
def every_second_call(compile, x):
    box = types.SimpleNamespace(n=0)

    def step(x):
        box.n += 1
        return x * 10 if box.n % 2 == 0 else x

    f = compile(step)
    for _ in range(9):
        yield f(x), box.n


@case(programs=4)
def gradient_accumulation(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt, box = fb.optim.SGD([w], lr=0.1), types.SimpleNamespace(n=0)

    def step(x):
        (w * x).sum().backward()
        box.n += 1
        if box.n % 4 == 0:
            opt.step()
            opt.zero_grad(set_to_none=False)

    f = compile(step)
    for _ in range(12):
        yield f(x), w, w.grad


@case(programs=2)
def bias_correction_by_hand(compile, x):
    box = types.SimpleNamespace(t=0, m=fb.zeros(3))

    def step(x):
        box.t += 1
        box.m = 0.9 * box.m + 0.1 * x
        return box.m / (1 - 0.9**box.t)

    f = compile(step)
    for _ in range(10):
        yield f(x), box.t


@case(programs=2)
def attribute_changed_outside(compile, x):
    m = types.SimpleNamespace(k=1.0)
    f = compile(lambda x: x * m.k)
    for i in range(10):
        m.k = 1.0 + i / 3
        yield f(x)


@case(programs=2)
def flag_changed_outside(compile, x):
    m = nn.Dropout(0.0)
    f = compile(m)
    for i in range(6):
        m.train(i % 2 == 0)
        yield f(x)


# -------------------------------------------------------------------------------- training and its objects


@case(programs=2)
def learning_rate_decayed_inside(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt = fb.optim.SGD([w], lr=0.1, momentum=0.9)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        opt.param_groups[0]["lr"] *= 0.9

    f = compile(step)
    for _ in range(8):
        yield f(x), w, opt.param_groups[0]["lr"]


@case(programs=2)
def learning_rate_changed_outside(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt = fb.optim.AdamW([w], lr=0.1)
    scheduler = fb.optim.lr_scheduler.CosineAnnealingLR(opt, 10)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = compile(step)
    for _ in range(8):
        yield f(x), w
        scheduler.step()


@case(programs=3)
def scheduler_inside(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt = fb.optim.SGD([w], lr=0.1)
    scheduler = fb.optim.lr_scheduler.ExponentialLR(opt, 0.9)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        scheduler.step()

    f = compile(step)
    for _ in range(10):
        yield f(x), w, scheduler.last_epoch, opt.param_groups[0]["lr"]


@case(programs=4)
def step_scheduler_inside(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt = fb.optim.SGD([w], lr=0.1)
    scheduler = fb.optim.lr_scheduler.StepLR(opt, 3, 0.5)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        scheduler.step()

    f = compile(step)
    for _ in range(10):
        yield f(x), w, scheduler.last_epoch, opt.param_groups[0]["lr"]


@case(programs=2)
def custom_optimizer_that_counts(compile, x):
    class Counting(fb.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        @fb.no_grad()
        def step(self):
            for p in self.param_groups[0]["params"]:
                state = self.state[p]
                state["t"] = state.get("t", 0) + 1
                p.sub_(p.grad * self.param_groups[0]["lr"] / state["t"])

    w = nn.Parameter(fb.ones(3))
    opt = Counting([w])

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = compile(step)
    for _ in range(8):
        yield f(x), w


@case(programs=1)
def tensors_of_objects_made_anew(compile, x):
    f = compile(lambda batch: (batch.x * batch.y).sum())
    for i in range(6):
        yield f(Batch(x * i, x + i))


@case(programs=1)
def tensors_of_lists_and_dicts_made_anew(compile, x):
    f = compile(lambda batch: batch["x"] * batch["ys"][0] + batch["ys"][1])
    for i in range(6):
        yield f({"x": x * i, "ys": [x, x + i]})


@case(programs=2)
def results_of_the_last_call_fed_back(compile, x):
    f = compile(lambda h, x: fb.tanh(h * 0.5 + x))
    h = fb.zeros(3)
    for _ in range(8):
        h = f(h, x)
        yield h


@case(programs=1)
def method_of_one_object_wrapped_anew(compile, x):
    m = nn.Linear(3, 2)

    @compile
    def step(model, x):
        return model(x)

    for i in range(6):
        yield step(m, x * i)


# --------------------------------------------------------------------------------------------- arguments


@case(programs=3)
def thirty_floats(compile, x):
    f = compile(lambda x, k: x * k + k)
    for i in range(30):
        yield f(x, 0.1 + i / 3)


@case(programs=3)
def a_dozen_floats_by_keyword(compile, x):
    f = compile(lambda x, *, temperature=1.0: fb.softmax(x / temperature, -1))
    for i in range(12):
        yield f(x, temperature=0.5 + i / 7)


@case(programs=3)
def a_dozen_integers(compile, x):
    f = compile(lambda x, n: x * n)
    for n in range(12):
        yield f(x, n)


@case(programs=3)
def a_dozen_numbers_in_a_dict(compile, x):
    f = compile(lambda batch: batch["x"] * batch["k"])
    for i in range(12):
        yield f({"x": x, "k": 0.3 + i})


@case(programs=3)
def a_dozen_numbers_of_a_dataclass(compile, x):
    f = compile(lambda batch: batch.x * batch.y)
    for i in range(12):
        yield f(Batch(x, 0.3 + i))


@case(programs=3)
def numbers_that_are_returned(compile, x):
    f = compile(lambda x, k: (x * k, k, k + 1))
    for i in range(10):
        yield f(x, 0.3 + i)


@case(programs=4)
def numbers_in_one_branch(compile, x):
    f = compile(lambda x, k: x * k if k > 2.0 else x - k)
    for i in range(12):
        yield f(x, i / 3)


@case(programs=1)
def zero_dim_tensors(compile, x):
    f = compile(lambda x, k: x * k)
    for i in range(10):
        yield f(x, fb.tensor(0.3 + i))


# ------------------------------------------------------------------------- parameters and numbers of layers


@case(programs=2)
def parameters_loaded_by_assignment(compile, x):
    m, other = nn.Linear(3, 2), nn.Linear(3, 2)
    f = compile(m)
    for i in range(10):
        m.load_state_dict({k: v.clone() * i for k, v in other.state_dict().items()}, assign=True)
        yield f(x)


@case(programs=2)
def parameter_that_is_replaced(compile, x):
    m = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))

    def step(x):
        loss = m(x).sum()
        loss.backward()
        return loss

    f = compile(step)
    for i in range(10):
        m[0].weight = nn.Parameter(fb.full((2, 3), float(i)))
        m.zero_grad()
        yield f(x), m[0].weight.grad, m[1].weight.grad


@case(programs=3)
def tied_parameters_that_are_replaced(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    f = compile(lambda x: m(x).sum())
    for i in range(10):
        m[0].weight = nn.Parameter(fb.full((3, 3), i / 10))
        m[1].weight = m[0].weight if i < 5 else nn.Parameter(fb.full((3, 3), 2.0))
        loss = f(x)
        loss.backward()
        yield loss, m[0].weight.grad, m[1].weight.grad


@case(programs=2)
def buffers_that_are_replaced(compile, x):
    m = nn.BatchNorm1d(3)
    f = compile(m)
    for i in range(8):
        if i % 2:
            m.running_mean = fb.full((3,), float(i))
        yield f(fb.stack([x, x * i])), m.running_mean, m.num_batches_tracked


@case(programs=2)
def momentum_of_a_normalization(compile, x):
    m = nn.BatchNorm1d(3)
    f = compile(m)
    for i in range(10):
        m.momentum = 0.1 + i / 20
        yield f(fb.stack([x, x * 2])), m.running_mean


@case(programs=2)
def slope_of_an_activation(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.1), nn.LayerNorm(3))
    f = compile(m)
    for i in range(10):
        m[1].negative_slope = 0.1 + i / 20
        yield f(x - 2)


# ------------------------------------------------------------------------------------- functions of math


@case(programs=2)
def schedule_by_cosine(compile, x):
    box = types.SimpleNamespace(n=0)

    def step(x):
        box.n += 1
        lr = 0.5 * (1 + math.cos(math.pi * min(box.n, 10) / 10))
        return x * lr, lr

    f = compile(step)
    for _ in range(12):
        yield f(x)


@case(programs=1)
def functions_of_math(compile, x):
    box = types.SimpleNamespace(n=0.0)

    def step(x):
        box.n += 0.5
        y = x * sqrt(box.n) + math.exp(-box.n) - math.log(box.n, 2) + math.floor(box.n)
        return y * math.hypot(box.n, int(box.n)) + float(box.n)

    f = compile(step)
    for _ in range(12):
        yield f(x)


@case(may_fall_back="math raises")
def function_of_math_beyond_its_domain(compile, x):
    box = types.SimpleNamespace(n=4)

    def step(x):
        box.n -= 1
        return x * math.sqrt(box.n)

    f = compile(step)
    for _ in range(6):
        yield attempt(f, x), box.n


@case
def functions_in_c_that_call_math(compile, x):
    box = types.SimpleNamespace(n=0.0)

    def step(x):
        box.n += 0.5
        return x * sum(map(math.cos, [box.n, 2 * box.n])) + max([box.n, 1.0], key=math.sin)

    f = compile(step)
    for _ in range(4):
        yield f(x)


@case(may_fall_back="a generator in C")
def generator_of_numbers_for_c(compile, x):
    box = types.SimpleNamespace(n=0.0)

    def step(x):
        box.n += 0.5
        return x * math.fsum(v for v in (box.n, 1.0))

    f = compile(step)
    for _ in range(4):
        yield f(x)


@case.test
def test_programs(case: Case) -> None:
    case.check()


# -------------------------------------------------------------------------------------------- the caches


def test_too_many_programs_are_told_once_and_the_last_used_stay() -> None:
    def step(x, how):
        return x * len(how)

    f, x = fb.compile(step), fb.ones(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(40):
            assert f(x, "a" * n).tolist() == [n, n]
            f(x, "")  # used at each turn, so never thrown away
    told = [str(w.message) for w in caught]
    assert len(told) == 1, told
    assert "step" in told[0] and ("how" in told[0] or "argument 1" in told[0]), told[0]
    assert len(fb.compile.explain(f)) <= 32
    assert executions(step, lambda: f(x, "")) == 0
    assert executions(step, lambda: f(x, "another")) == 1


def test_programs_that_are_dropped_are_freed_at_once() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin, self.seen = nn.Linear(3, 2), []

        def forward(self, x):
            self.seen = [x.shape]
            return self.lin(x).sum()

    net = Net()
    optimizer = fb.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def step(x):
        optimizer.zero_grad()
        net(x).backward()
        optimizer.step()

    for compiled in (fb.compile(net.forward), fb.compile(step)):
        for _ in range(3):
            compiled(fb.ones(4, 3))
        (program,) = (weakref.ref(p) for programs in compiled.programs.values() for p in programs)
        parts = [weakref.ref(part) for part in (program().conditions, program().conditions.reads, program().builder)]
        gc.collect()
        gc.disable()
        try:
            compiled.programs.clear()
            compiled._quick = None
            assert [ref() for ref in (program, *parts)] == [None] * 4
        finally:
            gc.enable()
