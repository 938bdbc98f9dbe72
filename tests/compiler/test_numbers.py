"""Numbers that change from call to call are inputs wherever they go: in operators, factories, masks, schedules, optimizers."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn
from flambeau.nn import functional as F

case = Table()


def written_in_place(x, n, d):
    held = [x.clone() for _ in range(11)]
    held[0].mul_(d).add_(x, alpha=1 - d)
    held[1].lerp_(x * 2, d)
    held[2].addcmul_(x, x, value=d).addcdiv_(x, x + 9, value=n)
    held[3].pow_(d * 0.1 + 3)
    held[4].div_(n).sub_(d)
    held[5].clamp_(-d, n)
    held[6].fill_(d)
    held[7].masked_fill_(x > 1, n)
    held[8][0], held[8][1:] = d, n
    held[9][x > 1] = d
    fb._foreach_mul_(held[:2], d)
    fb._foreach_add_(held[2:4], held[4:6], alpha=n)
    return held


def computed(x, n, d):
    whole = x.long()
    return [
        fb.sub(x, x * 2, alpha=d), fb.div(x, d), x / n, x ** (d + 3), d**x, fb.pow(n, x), x * min(0.7, d), x * max(0.1, d),
        fb.where(x > 1, d, 0.0), fb.where(x > d, x, n), x.where(x > 5, n), x.masked_fill(x > 1, -d), whole.masked_fill(x > 1, n),
        whole * n, x.clamp(max=n), fb.lerp(x, x * 2, d), F.leaky_relu(-x, d), F.huber_loss(x, x * 2, delta=d),
    ]  # fmt: skip


def made(x, n, d):
    return [
        fb.full((2,), d), fb.full((2,), n), fb.full((2,), d, dtype=fb.float16), fb.full_like(x, n), x.new_full((2,), d),
        fb.tensor(d), fb.tensor(n), fb.tensor([n, d]), fb.tensor([n, 1]), fb.as_tensor([d, 1.0]), x.new_tensor([n, d]),
        fb.scalar_tensor(n), x.clone().fill_(n),
    ]  # fmt: skip


def looked_up(x, n, d):
    shares, counts, table = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], (3, 1, 2), np.linspace(0.0, 1.0, 9)
    return [x * shares[n], x * shares[-n], x * counts[n % 3], x * table[n], x * (np.float64(0.5) * n), x * np.power(0.9, n),
            x * (0.5 * (1 + np.cos(np.pi * n / 10))), x / np.sqrt(n + 1)]  # fmt: skip


for compute in (written_in_place, computed, made, looked_up):

    def counted(compile, x, compute=compute):
        state = types.SimpleNamespace(n=0)

        def step(x):
            state.n += 1
            return compute(x, state.n, 1.0 - 0.5 / (state.n + 1))

        f = compile(step)
        for _ in range(6):
            yield f(x), state.n

    counted.__name__ = compute.__name__
    case(counted, programs=1)


@case(programs=1)
def a_schedule_ends(compile, x):
    schedule, state = [1.0, 2.0, 3.0], types.SimpleNamespace(n=0)

    def step(x):
        factor = schedule[state.n]
        state.n += 1
        return x * factor

    f = compile(step)
    for _ in range(5):
        try:
            yield f(x), state.n
        except IndexError as error:
            yield str(error), state.n


@case(programs=2)
def rates_from_arrays_and_a_teacher(compile, x):
    student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    opt = fb.optim.SGD(student.parameters(), lr=0.1)
    rates, momentum = np.linspace(0.1, 0.01, 9), np.linspace(0.9, 1.0, 9)

    def step(x, it):
        for group in opt.param_groups:
            group["lr"] = rates[it]
        loss = (student(x) - teacher(x).detach()).pow(2).sum()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0 / (it + 1))
        opt.step()
        with fb.no_grad():
            share = momentum[it]
            for q, k in zip(student.parameters(), teacher.parameters(), strict=True):
                k.mul_(share).add_((1 - share) * q.detach())
        return loss

    f = compile(step)
    for it in range(6):
        yield f(x, it), list(student.parameters()), list(teacher.parameters()), opt.param_groups[0]["lr"]


@case(programs=3)
def an_optimizer_that_counts_in_its_state(compile, x):
    class Own(fb.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @fb.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"], state["mean"] = 0, fb.zeros_like(p)
                    state["step"] += 1
                    state["mean"].mul_(0.9).add_(p.grad, alpha=0.1)
                    p.add_(state["mean"] / (1 - 0.9 ** state["step"]), alpha=-group["lr"])

    model = nn.Linear(3, 1)
    opt = Own(model.parameters(), 0.1)

    def step(x):
        opt.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        return loss

    f = compile(step)
    for i in range(6):
        opt.param_groups[0]["lr"] = 0.1 / (i + 1)
        yield f(x), list(model.parameters()), [opt.state[p]["step"] for p in model.parameters()]


@case(programs=2)
def dropouts_with_a_schedule(compile, x):
    layer, state = nn.Dropout(0.5), types.SimpleNamespace(p=0.4)

    def step(x):
        state.p *= 0.9
        layer.p = state.p / 2
        image = x.view(1, 5, 5, 2)
        return (
            layer(x),
            F.dropout2d(image, state.p),
            F.feature_alpha_dropout(image, state.p, True),
            F.dropout(x, 1 - state.p),
        )

    f = compile(step)
    fb.manual_seed(0)
    for _ in range(5):
        yield f(fb.ones(50)), state.p, layer.p


@case(programs=4)
def a_dropout_that_is_set_outside(compile, x):
    model = nn.Sequential(nn.Dropout(0.5), nn.AlphaDropout(0.2))
    f = compile(model)
    fb.manual_seed(0)
    for p in (0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 1.0):
        model[0].p = p
        yield f(fb.ones(50))


@case(programs=1)
def an_averaged_model(compile, x):
    model = nn.Linear(3, 1)
    plain = fb.optim.swa_utils.AveragedModel(model)
    moving = fb.optim.swa_utils.AveragedModel(model, multi_avg_fn=fb.optim.swa_utils.get_ema_multi_avg_fn(0.9))

    def step(x):
        with fb.no_grad():
            model.weight.mul_(0.9)
        plain.update_parameters(model)
        moving.update_parameters(model)
        return model(x)

    f = compile(step)
    for _ in range(4):
        yield f(x), list(plain.parameters()), list(moving.parameters()), plain.n_averaged


@case
def an_object_is_a_key_by_a_number(compile, x):
    class Key:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return hash(self.n)

        def __eq__(self, other):
            return self.n == other.n

    table, state = {Key(1): 2.0, Key(2): 3.0}, types.SimpleNamespace(key=Key(1))
    f = compile(lambda x: x * table[state.key])
    yield f(x)
    state.key = Key(2)
    yield f(x)
    table[Key(2)] = 9.0
    yield f(x)
    state.key.n = 1
    yield f(x), type(state.key.n)


@case(programs=1)
def attributes_that_are_entries(compile, x):
    class Config(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__
        __delattr__ = dict.__delitem__

    config = Config(scale=2.0, n=0, inner=Config(shift=1.0))

    def step(x):
        config.n += 1
        config.last = x * config.n
        config.passing = 3
        del config.passing
        return x * config.scale + config.inner.shift + config.n

    f = compile(step)
    for _ in range(4):
        yield f(x), config.n, config.last, "passing" in config
    config.n = 10
    yield f(x), dict(config)["n"]


@case(programs=3)
def calls_of_modules_replaced_in_their_class(compile, x):
    class Base(nn.Module):
        pass

    class Part(Base):
        def forward(self, x):
            return x * 3

    model = nn.Sequential(Part(), Part())
    f = compile(lambda x: model(x) + model[0](x))
    yield f(x)
    Base.__call__ = lambda self, x: x - 1
    yield f(x)
    del Base.__call__
    yield f(x)
    Part.forward = lambda self, x: x + 1
    yield f(x)


@case
def state_of_an_optimizer_made_anew_outside(compile, x):
    model = nn.Linear(3, 4)  # of shapes that can't be compared with each other
    opt = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x):
        opt.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        return loss

    f = compile(step)
    for _ in range(2):
        yield f(x), list(model.parameters())
    opt.state.clear()
    step(x)
    for _ in range(3):
        yield f(x), list(model.parameters()), [opt.state[p]["momentum_buffer"] for p in model.parameters()]


@case(programs=2)
def a_tensor_and_an_array(compile, x):
    table = np.array([1.0, 2.0, 4.0])
    f = compile(lambda x: (x * table, x.float() + table, x.long() / np.arange(1, 4), x - table[:1]))
    yield f(x)
    table[0] = 5.0
    yield f(x)


@case(programs=1)
def elements_under_a_list_of_counters(compile, x):
    table, state = fb.arange(9.0), types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        table[[state.n - 1, -state.n]] = x[0] * state.n
        return table[[state.n, state.n + 1, 3]] * x

    f = compile(step)
    for _ in range(8):
        try:
            yield f(x), table
        except IndexError:
            yield "beyond"


@case
def attributes_of_an_argument_deleted(compile, x):
    @dataclasses.dataclass
    class State:
        n: int = 0
        last: object = None

    def step(x, state):
        state.n += 1
        state.passing = 3
        del state.passing
        if hasattr(state, "note"):
            delattr(state, "note")
        state.last = x * state.n
        return state.last

    f, state = compile(step), State()
    for _ in range(3):
        yield f(x, state), vars(state)
        state.note = 1
    yield f(x, state), vars(state)


@case
def arithmetic_that_raises_for_some_numbers(compile, x):
    for divide in (
        lambda k: 1 / k, lambda k: 1 % k, lambda k: divmod(7, k)[0], lambda k: k**-1, lambda k: 5 << int(k - 1), lambda k: round(1 / k, 1),
        lambda k: math.sqrt(k - 1), lambda k: math.factorial(int(k) - 1), lambda k: int(1 / k), lambda k: math.exp(999 - 300 * k),
    ):  # fmt: skip

        def step(x, k, divide=divide):
            try:
                return x * divide(k)
            except (ArithmeticError, ValueError) as error:
                return x * len(str(error))

        f = compile(step)
        for k in (1.0, 0.0, 2.0, 0.0, 4.0, 1, 0, 2, 0, 3):
            yield f(x, k)


@case
def a_manager_that_ends_arithmetic_errors(compile, x):
    box = types.SimpleNamespace(k=1.0, seen=[])

    def step(x):
        box.seen.append(box.k)
        with contextlib.suppress(ZeroDivisionError):
            x = x * (1 / box.k)
        return x

    f = compile(step)
    for box.k in (1.0, 0.0, 2.0, 0.0, 4.0):
        yield f(x), box.seen


@case.test
def test_numbers(case: Case) -> None:
    case.check()
