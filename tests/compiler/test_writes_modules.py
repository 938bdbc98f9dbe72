"""Buffers, parameters and attributes of modules that a compiled function writes."""

from __future__ import annotations

import types
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Counting
from flambeau import nn

case = Table()


def counting(kind, inner):
    def script(compile, x):
        counter = Counting(kind)
        f = compile(nn.Sequential(nn.Identity(), counter) if inner else counter)
        yield f(x), counter.n
        old = counter.n
        new: Any = 50 if kind == "number" else fb.tensor(50.0)
        counter.n = nn.Parameter(new, requires_grad=False) if kind == "parameter" else new
        yield f(x), counter.n, old, new, counter.n is new
        yield f(x), counter.n, old
        if kind in ("buffer", "parameter"):
            counter.load_state_dict({"n": fb.tensor(7.0)}, assign=True)
            yield f(x), counter.n

    script.__name__ = f"counter_kept_as_{kind}{'_of_an_inner_module' if inner else ''}"
    return script


for _kind in ("buffer", "parameter", "plain", "rebound", "method", "number"):
    for _inner in (False, True):
        case(counting(_kind, _inner))


# -------------------------------------------------------------------------------------- plain attributes


@case
def number_and_tensor_attributes(compile, x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.mean, self.last = 0, None, None

        def forward(self, x):
            self.calls += 1
            self.mean = x.mean() if self.mean is None else 0.5 * self.mean + 0.5 * x.mean()
            self.last = x
            return x * self.calls - self.mean

    m = Net()
    f = compile(m)
    for k in (1.0, 2.0, 3.0):
        arg = x * k
        yield f(arg), m.calls, m.mean, m.last is arg


@case
def calls_of_the_module_uncompiled_between(compile, x):
    m = Counting("number")
    f = compile(m)
    yield f(x), m.n
    yield m(x), m.n
    yield f(x), m.n


@case
def list_attribute(compile, x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.activations = []

        def forward(self, x):
            y = self.fc(x)
            self.activations.append(y.detach())
            return y.sum()

    m = Net()
    f = compile(m)
    for k in (1.0, 2.0):
        f(x * k).backward()
        yield m.activations, m.fc.weight.grad
    m.activations.clear()
    yield f(x), m.activations


@case
def recurrent_state(compile, x):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.i, self.h, self.hidden = nn.Linear(3, 3), nn.Linear(3, 3), None

        def forward(self, x):
            h = self.i(x)
            if self.hidden is not None:
                h = h + self.h(self.hidden)
            h = fb.tanh(h)
            self.hidden = h.detach()
            return h.sum()

    m = Cell()
    f = compile(m)
    for _ in range(3):
        f(x).backward()
        yield m.hidden, m.h.weight.grad
    m.hidden = None
    yield f(x), m.hidden


@case
def truncated_backpropagation(compile, x):
    cell = nn.Linear(3, 3)
    state = types.SimpleNamespace(h=fb.zeros(1, 3))
    opt = fb.optim.SGD(cell.parameters(), lr=0.1)

    def step(x):
        h = fb.tanh(cell(x[None]) + state.h)
        loss = h.pow(2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        state.h = h.detach()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), state.h
    state.h = fb.zeros(1, 3)
    yield f(x), state.h


@case
def key_value_cache_of_a_module(compile, x):
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", fb.zeros(4, 3), persistent=False)
            self.position = 0

        def forward(self, x):
            self.cache[self.position] = x
            self.position += 1
            return self.cache[: self.position].mean(0)

    m = Cached()
    f = compile(m)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), m.cache, m.position
    m.position = 0
    yield f(x), m.cache, m.position


@case
def mode_switched_inside(compile, x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.warm = True

        def forward(self, x):
            if self.warm:
                self.warm = False
                return x
            return x * 2

    m = Net()
    f = compile(m)
    for _ in range(3):
        yield f(x), m.warm
    m.warm = True
    yield f(x), m.warm


@case
def training_flag_written_inside(compile, x):
    m = nn.Sequential(nn.BatchNorm1d(3))
    x = fb.arange(6.0).view(2, 3)

    def validate(x):
        m.eval()
        with fb.no_grad():
            y = m(x)
        m.train()
        return y

    f, g = compile(validate), compile(m)
    yield f(x), m.training, m[0].training, m[0].running_mean
    yield g(x), m[0].running_mean
    m.eval()
    yield f(x), m.training, m[0].training


@case(may_fall_back="parameters and modules are registered inside")
def module_made_at_the_first_call(compile, x):
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = None

        def forward(self, x):
            if self.fc is None:
                self.fc = nn.Linear(x.shape[-1], 2)
            return self.fc(x)

    m = Lazy()
    f = compile(m)
    yield f(x), [n for n, _ in m.named_parameters()]
    f(x).sum().backward()
    yield m.fc.weight.grad, m.fc.weight
    fc = m.fc
    yield f(x), m.fc is fc


@case(may_fall_back="a lazy layer gets its parameters")
def lazy_linear(compile, x):
    m = nn.Sequential(nn.LazyLinear(2))
    f = compile(m)
    yield f(x), type(m[0]), m[0].weight
    yield f(x), m[0].in_features


@case(may_fall_back="parameters and modules are registered inside")
def parameters_and_buffers_registered_inside(compile, x):
    class Net(nn.Module):
        def forward(self, x):
            if not hasattr(self, "scale"):
                self.scale = nn.Parameter(fb.ones(3) * 2)
                self.register_buffer("seen", fb.zeros(()))
            self.seen += 1
            return x * self.scale

    m = Net()
    f = compile(m)
    yield f(x), list(m.state_dict()), m.seen
    f(x).sum().backward()
    yield m.scale.grad, m.seen, m.state_dict()


@case(may_fall_back="parameters and modules are registered inside")
def submodule_appended_inside(compile, x):
    m = nn.Sequential(nn.Identity())

    def step(x):
        if len(m) < 3:
            m.append(nn.Softplus())
        return m(x)

    f = compile(step)
    for _ in range(4):
        yield f(x), len(m)


# --------------------------------------------------------------------------------- buffers and parameters


@case
def buffer_rebound_by_roll(compile, x):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("hist", fb.zeros(3))

        def forward(self, x):
            self.hist = fb.roll(self.hist, 1) + x
            return self.hist * 2

    m = Net()
    f = compile(m)
    yield f(x), m.hist
    old = m.hist
    yield f(x), m.hist, old, m.hist is old
    m.hist = fb.zeros(3)
    yield f(x), m.hist
    m.load_state_dict({"hist": fb.arange(3.0)}, assign=True)
    yield f(x), m.hist


@case
def buffer_data_assigned_from_outside(compile, x):
    m = Counting("buffer")
    f = compile(m)
    yield f(x), m.n
    m.n.data = fb.tensor(5.0)
    yield f(x), m.n
    m.n.zero_()
    yield f(x), m.n


@case
def buffer_copy_and_index_writes(compile, x):
    m = nn.Module()
    m.register_buffer("a", fb.zeros(2, 3))

    def step(x):
        m.a[0].copy_(x)
        m.a[1, :2] += x[1:]
        m.a.clamp_(max=4.0)
        return m.a.sum(0)

    f = compile(step)
    for k in (1.0, 2.0):
        yield f(x * k), m.a
    m.a = fb.ones(2, 3)
    yield f(x), m.a


@case
def buffer_set_to_none_inside(compile, x):
    m = nn.Module()
    m.register_buffer("start", fb.ones(3))

    def step(x):
        if m.start is None:
            return x
        y = x * m.start + 1
        m.start = None
        return y

    f = compile(step)
    yield f(x), m.start
    yield f(x), m.start
    m.start = fb.zeros(3)
    yield f(x), m.start


@case(may_fall_back="a parameter gets other memory")
def parameter_data_rebound(compile, x):
    w = nn.Parameter(fb.ones(3))

    def step(x):
        w.data = w.data * 0.5
        return w * x

    f = compile(step)
    first = w.data
    yield f(x), w, first
    yield f(x), w, first
    w.data = fb.full((3,), 8.0)
    yield f(x), w


@case
def parameter_data_written(compile, x):
    w = nn.Parameter(fb.ones(3))

    def step(x):
        w.data.mul_(0.5)
        w.data[0] = 5.0
        w.data -= 0.1 * x
        return (w * x).sum()

    f = compile(step)
    f(x).backward()
    yield w, w.grad
    yield f(x), w


@case
def parameter_copied_under_no_grad(compile, x):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)

    def step(x):
        with fb.no_grad():
            for p, q in zip(a.parameters(), b.parameters(), strict=True):
                p.copy_(q * 0.5)
        return a(x)

    f = compile(step)
    yield f(x), a.weight
    nn.init.ones_(b.weight)
    yield f(x), a.weight


@case(may_fall_back="parameters and modules are registered inside")
def parameter_replaced_inside(compile, x):
    m = nn.Linear(3, 2, bias=False)

    def step(x):
        m.weight = nn.Parameter(m.weight.detach() * 2)
        return m(x).sum()

    f = compile(step)
    first = m.weight
    for _ in range(2):
        f(x).backward()
        yield m.weight, m.weight.grad, m.weight is first, first.grad


@case
def weights_clipped_and_normalized(compile, x):
    m = nn.Linear(3, 2)

    def step(x):
        with fb.no_grad():
            m.weight.clamp_(-0.2, 0.2)
            m.weight.div_(m.weight.norm(dim=1, keepdim=True))
        return m(x)

    f = compile(step)
    yield f(x), m.weight
    yield f(x), m.weight


@case
def requires_grad_written_inside(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    state = types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        if state.n == 2:
            m[0].requires_grad_(False)
        m.zero_grad()
        m(x).sum().backward()

    f = compile(step)
    for _ in range(3):
        yield f(x), m[0].weight.grad, m[1].weight.grad, m[0].weight.requires_grad


@case
def gradients_written(compile, x):
    w = nn.Parameter(fb.ones(3))

    def step(x):
        (w * x).sum().backward()
        w.grad.mul_(0.5)
        w.grad = w.grad + 1
        w.grad[0] = 0.0

    f = compile(step)
    yield f(x), w.grad
    yield f(x), w.grad
    w.grad = None
    yield f(x), w.grad


@case
def gradient_kept_elsewhere(compile, x):
    w, kept = nn.Parameter(fb.ones(3)), []

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        kept.append(w.grad)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        f(x * k)
        yield kept, w.grad is kept[-1]


@case
def gradient_penalty_kept_as_number_of_a_dict(compile, x):
    w, logs = nn.Parameter(fb.ones(3)), {}

    def step(x):
        (g,) = fb.autograd.grad((w * x).pow(2).sum(), w, create_graph=True)
        loss = g.pow(2).sum()
        logs["penalty"] = loss.detach()
        logs["steps"] = logs.get("steps", 0) + 1
        loss.backward()

    f = compile(step)
    for k in (1.0, 2.0):
        yield f(x * k), logs, w.grad


class _Recurrent(nn.Module):
    """Keeps its last result, and sees it only through `look`."""

    def __init__(self, look, keep):
        super().__init__()
        self.w, self.h, self.look, self.keep = nn.Parameter(fb.ones(3)), None, look, keep

    def forward(self, x):
        o = x * self.w if self.h is None else x * self.w + self.look(self.h)
        self.h = self.keep(o)
        return o.sum()


def _state_seen_through(look, keep=lambda o: o.detach()):
    def scenario(compile, x):
        f = compile(_Recurrent(look, keep))
        for k in (1.0, 2.0, 3.0, 4.0):
            yield f(x * k)

    return scenario


@case
def state_that_is_read_through_an_index(compile, x):
    yield from _state_seen_through(lambda h: h[0])(compile, x)


@case
def state_that_is_read_through_a_view(compile, x):
    yield from _state_seen_through(lambda h: h.view(-1)[:3])(compile, x)


@case
def state_that_is_read_detached(compile, x):
    yield from _state_seen_through(lambda h: h.detach(), lambda o: o)(compile, x)


@case
def state_that_is_written_through_a_view(compile, x):
    def look(h):
        with fb.no_grad():
            h[0].add_(1.0)
        return h[0]

    yield from _state_seen_through(look, lambda o: o.detach() * 2)(compile, x)


@case.test
def test_modules(case: Case) -> None:
    case.check()
