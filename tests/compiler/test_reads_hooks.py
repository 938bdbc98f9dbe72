"""Hooks of modules, tensors and parameters: which there are, and what they read, at each call."""

from __future__ import annotations

import types
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn

case = Table()


class Scale(nn.Module):
    factor = 1.0

    def __init__(self, k: Any = 1.0):
        super().__init__()
        self.k = k

    def forward(self, x):
        return x * self.k * self.factor


@case
def what_a_forward_hook_reads(compile, x):
    m, gain = nn.Tanh(), {"k": 1.0}
    m.register_forward_hook(lambda module, args, out: out * gain["k"])
    f = compile(m)
    yield f(x)
    gain["k"] = 2.0
    yield f(x)


@case
def what_a_forward_pre_hook_reads(compile, x):
    m, box = nn.Sequential(nn.Tanh()), types.SimpleNamespace(k=1.0)
    m[0].register_forward_pre_hook(lambda module, args: (args[0] * box.k,))
    f = compile(m)
    yield f(x)
    box.k = 0.1
    yield f(x)


@case
def what_a_hook_method_reads(compile, x):
    class Amplifier:
        def __init__(self):
            self.k = 1.0

        def hook(self, module, args, out):
            return out * self.k

    amplifier, m = Amplifier(), nn.Sequential(nn.Tanh())
    m[0].register_forward_hook(amplifier.hook)
    f = compile(lambda x: m(x))
    yield f(x)
    amplifier.k = 2.0
    yield f(x)
    Amplifier.hook = lambda self, module, args, out: out * 0  # a bound method keeps its function
    yield f(x)


@case
def forward_hooks_come_and_go(compile, x):
    m = nn.Sequential(nn.Tanh())
    f = compile(m)
    yield f(x)
    first = m[0].register_forward_hook(lambda module, args, out: out * 2)
    yield f(x)
    second = m.register_forward_hook(lambda module, args, out: out + 1)
    yield f(x)
    first.remove()
    yield f(x)
    second.remove()
    yield f(x)


@case
def hook_with_kwargs_and_prepend(compile, x):
    class Layer(nn.Module):
        def forward(self, x, k=1.0):
            return x * k

    m = Layer()
    f = compile(lambda x: m(x, k=2.0))
    yield f(x)
    m.register_forward_pre_hook(lambda module, args, kwargs: (args, {"k": kwargs["k"] * 2}), with_kwargs=True)
    yield f(x)
    m.register_forward_hook(lambda module, args, out: out + 1)
    yield f(x)
    m.register_forward_hook(lambda module, args, out: out * 10, prepend=True)
    yield f(x)


@case
def global_forward_hook(compile, x):
    m = nn.Tanh()
    f = compile(m)
    yield f(x)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, out: out * 2)
    try:
        yield f(x)
    finally:
        handle.remove()
    yield f(x)


@case
def what_a_tensor_hook_reads(compile, x):
    w, gain = nn.Parameter(fb.ones(3)), [1.0]
    w.register_hook(lambda grad: grad * gain[0])

    def step(x):
        w.grad = None
        (w * x).sum().backward()

    f = compile(step)
    yield f(x), w.grad
    gain[0] = 2.0
    yield f(x), w.grad


@case
def tensor_hooks_come_and_go(compile, x):
    w = nn.Parameter(fb.ones(3))

    def step(x):
        w.grad = None
        (w * x).sum().backward()

    f = compile(step)
    yield f(x), w.grad
    handle = w.register_hook(lambda grad: grad * 2)
    yield f(x), w.grad
    w.register_hook(lambda grad: grad + 1)
    yield f(x), w.grad
    handle.remove()
    yield f(x), w.grad


@case
def hook_of_an_intermediate_tensor(compile, x):
    w, clip = nn.Parameter(fb.ones(3)), types.SimpleNamespace(value=100.0)

    def step(x):
        w.grad = None
        h = w * x
        h.register_hook(lambda grad: grad.clamp(max=clip.value))
        (h * 3).sum().backward()

    f = compile(step)
    yield f(x), w.grad
    clip.value = 1.0
    yield f(x), w.grad


@case
def what_a_full_backward_hook_reads(compile, x):
    m, gain = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), types.SimpleNamespace(k=1.0)
    m[1].register_full_backward_hook(lambda module, into, out: (into[0] * gain.k,))

    def step(x):
        m.zero_grad()
        m(x).sum().backward()

    f = compile(step)
    yield f(x), m[0].weight.grad
    gain.k = 2.0
    yield f(x), m[0].weight.grad


@case
def backward_hooks_come_and_go(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    def step(x):
        m.zero_grad()
        m(x).sum().backward()

    f = compile(step)
    yield f(x), m[0].weight.grad
    a = m[1].register_full_backward_hook(lambda module, into, out: (into[0] * 2,))
    yield f(x), m[0].weight.grad
    b = m[1].register_full_backward_pre_hook(lambda module, out: (out[0] * 3,))
    yield f(x), m[0].weight.grad
    a.remove()
    b.remove()
    yield f(x), m[0].weight.grad


@case
def hook_that_reads_a_captured_activation(compile, x):
    m, kept = nn.Sequential(nn.Tanh(), Scale(2.0)), {}
    m[0].register_forward_hook(lambda module, args, out: kept.__setitem__("h", out))
    f = compile(lambda x: m(x) + kept["h"])
    yield f(x)
    m[1].k = 3.0
    yield f(x * 2), kept["h"]


@case
def post_accumulate_grad_hook(compile, x):
    w, gain = nn.Parameter(fb.ones(3)), [0.5]

    def hook(p):
        with fb.no_grad():
            p.sub_(p.grad, alpha=gain[0])
        p.grad = None

    w.register_post_accumulate_grad_hook(hook)
    f = compile(lambda x: (w * x).sum().backward())
    yield f(x), w, w.grad
    gain[0] = 2.0
    yield f(x), w, w.grad


@case
def an_optimizers_hooks_that_are_cleared_by_hand(compile, x):
    m, counts = nn.Linear(x.shape[-1], 2), []
    opt = fb.optim.SGD(m.parameters(), lr=0.1)
    opt.register_step_post_hook(lambda *args: counts.append(1))

    def step(x):
        opt.zero_grad()
        loss = m(x).square().sum()
        loss.backward()
        opt.step()
        return loss.detach()

    f = compile(step)
    yield f(x)
    yield f(x), len(counts)
    opt._optimizer_step_post_hooks.clear()
    yield f(x), len(counts)


@case
def hooks_of_a_state_dict(compile, x):
    m, gain = nn.Linear(2, 2), [2.0]
    hook = m.register_state_dict_post_hook(lambda module, state, *args: state.update(more=state["weight"] * gain[0]))

    def step(x):
        state = m.state_dict()
        return x * state.get("more", state["weight"]).sum()

    f = compile(step)
    yield f(x)
    gain[0] = 3.0
    yield f(x)
    hook.remove()
    yield f(x)
    m.register_state_dict_post_hook(lambda module, state, *args: state.update(more=state["weight"] * 5))
    yield f(x)
    m._state_dict_hooks.clear()
    yield f(x)


@case.test
def test_hooks(case: Case) -> None:
    case.check()
