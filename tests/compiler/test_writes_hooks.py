"""What hooks write, what is saved and copied within a call, and what stays written when it ends with an exception."""

from __future__ import annotations

import copy
import types

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Counting
from flambeau import nn

case = Table()


@case
def forward_hook_collects(compile, x):
    m, seen = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), []
    m[1].register_forward_hook(lambda module, args, out: seen.append(out.detach().mean()))
    f = compile(m)
    for k in (1.0, 2.0, 3.0):
        f(x * k)
        yield seen


@case
def forward_hook_counts(compile, x):
    m, counts = nn.Sequential(nn.Tanh(), nn.Tanh()), {}

    def hook(module, args, out):
        counts[type(module).__name__] = counts.get(type(module).__name__, 0) + 1

    for layer in m:
        layer.register_forward_hook(hook)
    f = compile(m)
    for _ in range(3):
        yield f(x), counts


@case
def pre_hook_writes_the_module(compile, x):
    m = Counting("number")

    def hook(module, args):
        module.kind_seen = module.n
        module.n += 10

    m.register_forward_pre_hook(hook)
    f = compile(m)
    for _ in range(3):
        yield f(x), m.n, m.kind_seen


@case(may_fall_back="a hook is removed")
def hook_that_removes_itself(compile, x):
    m, handles = nn.Tanh(), []

    def once(module, args, out):
        handles[0].remove()
        return out * 100

    handles.append(m.register_forward_hook(once))
    f = compile(m)
    for _ in range(3):
        yield f(x), len(m._forward_hooks)


@case
def backward_hook_collects(compile, x):
    m, norms = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), {}
    m[1].register_full_backward_hook(lambda module, into, out: norms.__setitem__(len(norms), out[0].norm()))
    f = compile(lambda x: m(x).pow(2).sum().backward())
    for k in (1.0, 2.0):
        f(x * k)
        yield norms


@case
def tensor_hook_collects(compile, x):
    w, grads = nn.Parameter(fb.ones(3)), []
    w.register_hook(lambda grad: grads.append(grad.clone()))
    f = compile(lambda x: (w * x).sum().backward())
    for k in (1.0, 2.0):
        f(x * k)
        yield grads, w.grad


@case
def state_dict_taken_inside(compile, x):
    m, kept = Counting("buffer"), types.SimpleNamespace(best=None)

    def step(x):
        y = m(x)
        kept.best = {k: v.clone() for k, v in m.state_dict().items()}
        return y

    f = compile(step)
    before = None
    for _ in range(3):
        yield f(x), kept.best, kept.best is before, before
        before = kept.best


@case
def state_dict_loaded_inside(compile, x):
    m = nn.Linear(3, 2)
    start = copy.deepcopy(m.state_dict())

    def step(x):
        m.load_state_dict(start)
        loss = m(x).sum()
        loss.backward()
        with fb.no_grad():
            for p in m.parameters():
                p -= p.grad
        return loss

    f = compile(step)
    yield f(x), m.weight
    yield f(x), m.weight


@case(may_fall_back="a module is copied")
def deep_copy_inside(compile, x):
    m, snapshots = nn.Linear(3, 2), []

    def step(x):
        snapshots.append(copy.deepcopy(m))
        with fb.no_grad():
            m.weight.mul_(2)
        return m(x)

    f = compile(step)
    for _ in range(2):
        yield f(x), [s.weight for s in snapshots], m.weight


@case
def exception_after_a_write(compile, x):
    m, state = Counting("buffer"), types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        y = m(x)
        if x.shape[0] == 2:
            raise ValueError("two")
        return y

    f = compile(step)
    yield f(x), state, m.n
    yield attempt(f, x[:2]), state, m.n
    yield f(x), state, m.n
    yield attempt(f, x[:2]), state, m.n


@case
def exception_by_the_counter(compile, x):
    state = types.SimpleNamespace(n=0, log=[])

    def step(x):
        state.n += 1
        state.log.append(x.sum())
        if state.n == 2:
            raise StopIteration
        return x * state.n

    f = compile(step)
    yield f(x), state
    yield attempt(f, x), state
    yield f(x), state


@case
def exception_of_an_operator_after_a_write(compile, x):
    state = types.SimpleNamespace(n=0, w=fb.zeros(3))

    def step(x):
        state.n += 1
        state.w.add_(1)
        return x @ state.w

    f = compile(step)
    yield f(x), state
    yield attempt(f, x[:2]), state
    yield f(x), state


@case.test
def test_hooks(case: Case) -> None:
    case.check()
