"""What a function sets to what it was at the trace, and is another at a later call: gradients, flags, entries."""

from __future__ import annotations

import types

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn

case = Table()


@case(programs=1)
def gradients_are_emptied(compile, x):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))

    def step(x):
        model.zero_grad()
        loss = model[0](x).sum()
        loss.backward()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), [p.grad for p in model.parameters()]
        model[1].weight.grad = fb.ones(1, 3)


@case(programs=3)
def a_gradient_is_restored(compile, x):
    w, saved = fb.ones(3, requires_grad=True), fb.ones(3) * 7
    optimizer = fb.optim.SGD([w], lr=0.1)
    w.grad = saved

    def step(x):
        w.grad = saved
        optimizer.step()
        return (w * x).sum()

    def looking(x):
        y = w.grad * x + saved
        w.grad = saved
        return y

    f, g = compile(step), compile(looking)
    for k in range(5):
        yield f(x), w, w.grad, saved
        w.grad = [None, fb.zeros(3), saved][k % 3]
    w.grad = saved
    for k in range(5):
        yield g(x), w.grad
        w.grad = fb.zeros(3) if k == 2 else w.grad
        saved.add_(1)


@case(programs=4)
def turns_in_training(compile, x):
    a, b, s = nn.Linear(3, 1), nn.Linear(3, 1), types.SimpleNamespace(first=True)
    optimizer = fb.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1, momentum=0.9)

    def step(x):
        optimizer.zero_grad()
        loss = (a if s.first else b)(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    f = compile(step)
    for first in (True, False, True, True, False, False, True):
        s.first = first
        yield f(x), a.weight, b.weight, a.weight.grad, b.weight.grad


@case(programs=2)
def a_flag_is_set_again(compile, x):
    w = fb.ones(3)

    def step(x):
        w.requires_grad_(True)
        return (w * x).sum()

    f = compile(step)
    for k in range(5):
        y = f(x)
        yield y, w.requires_grad
        y.backward()
        yield w.grad
        if k % 2:
            w.requires_grad_(False)
            w.grad = None


@case(programs=1)
def empty_again(compile, x):
    s = types.SimpleNamespace(entries={}, row=[], seen=set(), flag=True, none=None, t=x)

    def step(x):
        s.entries.clear()
        s.row[:] = []
        s.seen.clear()
        s.flag, s.none, s.t = True, None, x
        return x * 2

    f = compile(step)
    for k in range(4):
        yield f(x), s
        s.entries[k] = s.none = k
        s.row.append(k)
        s.seen.add(k)
        s.flag, s.t = False, x * 3


@case.test
def test_set_anew(case: Case) -> None:
    case.check()
