"""What the library itself holds and a compiled function depends on or changes: settings, modes, generators, gradients, methods it finds."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from flambeau import nn

case = Table()
REFUSED = "each call would have to change something of the library's"


@case
def settings_that_are_asked(compile, x):
    def step(x):
        scale = 2.0 if fb.are_deterministic_algorithms_enabled() else 1.0
        return x * scale + fb.get_num_threads(), fb.initial_seed(), fb.get_deterministic_debug_mode()

    f, threads = compile(step), fb.get_num_threads()
    try:
        yield f(x)
        fb.use_deterministic_algorithms(True)
        yield f(x)
        fb.set_num_threads(threads + 1)
        fb.manual_seed(7)
        yield f(x)
    finally:
        fb.use_deterministic_algorithms(False)
        fb.set_num_threads(threads)
    yield f(x)


@case
def default_device_and_inference_mode(compile, x):
    f = compile(lambda x: (fb.ones(2).device.type, fb.is_inference_mode_enabled(), fb.is_grad_enabled()))
    yield f(x)
    with fb.device("meta"):
        yield f(x)
    with fb.inference_mode():
        yield f(x)
    with fb.no_grad():
        yield f(x)
    fb.set_default_device("meta")
    try:
        yield f(x)
    finally:
        fb.set_default_device(None)
    yield f(x)


@case(may_fall_back=REFUSED)
def modes_that_are_left_behind(compile, x):
    w = nn.Parameter(fb.ones(3, dtype=fb.float64))

    def grad(x, on):
        fb.set_grad_enabled(on)
        return w * x

    def dtype(x):
        fb.set_default_dtype(fb.float32)
        return fb.ones(2)

    def setting(x):
        fb.use_deterministic_algorithms(True)
        return x * 2

    f, g, h = compile(grad), compile(dtype), compile(setting)
    for on in (False, True, False):
        yield f(x, on), fb.is_grad_enabled()
    fb.set_grad_enabled(True)
    for _ in range(3):
        yield g(x), fb.get_default_dtype(), h(x), fb.are_deterministic_algorithms_enabled()
        fb.set_default_dtype(fb.float64)
        fb.use_deterministic_algorithms(False)


@case
def modes_that_are_put_back(compile, x):
    dtype = [fb.float32]

    def step(x):
        before = fb.get_default_dtype()
        fb.set_default_dtype(dtype[0])
        try:
            return fb.ones(3) * 2
        finally:
            fb.set_default_dtype(before)

    f = compile(step)
    yield f(x), fb.get_default_dtype()
    dtype[0] = fb.float64
    yield f(x), fb.get_default_dtype()


@case(may_fall_back=REFUSED)
def generators_that_are_made_or_seeded(compile, x):
    seed = [1]

    def seeded(x):
        fb.manual_seed(seed[0])
        return x + fb.rand(3)

    def fresh(x):
        return x + fb.rand(3, generator=fb.Generator())

    def forked(x):
        with fb.random.fork_rng():
            fb.manual_seed(5)
            y = fb.rand(3)
        return y + fb.rand(3)

    def replayed(x):
        state = fb.get_rng_state()
        y = fb.rand(2)
        fb.set_rng_state(state)
        return y, fb.rand(2), state.sum()

    for function in (seeded, fresh, forked, replayed):
        f = compile(function)
        for _ in range(3):
            yield f(x), fb.rand(1)
            seed[0] += 1


@case
def gradients_of_arguments(compile, x):
    def read(v):
        (v * v).sum().backward()
        return v.grad * 2

    def cleared(v):
        v.grad = None
        (v * v).sum().backward()
        return v.grad * 2

    def looked_at(v):
        return v * 2 if v.grad is None else v + v.grad

    for function in (read, cleared, looked_at):
        f, v = compile(function), x.clone().requires_grad_()
        for i in range(4):
            yield f(v), v.grad
            if i == 1:
                v.grad = fb.ones(3)
            if i == 2:
                v = x.clone().requires_grad_()


@case(may_fall_back=REFUSED)
def arguments_that_start_to_require_grad(compile, x):
    def on(v):
        v.requires_grad_()
        return v * 2

    def kept(v):
        v.retain_grad()
        return v * 2

    f, g = compile(on), compile(kept)
    for _ in range(3):
        v = x.clone()
        f(v).sum().backward()
        u = x.clone().requires_grad_() * 1
        g(u).sum().backward()
        yield v.requires_grad, v.grad, u.retains_grad, u.grad
    v = x.clone().requires_grad_() * 1
    yield attempt(f, v), v.is_leaf


@case
def a_leaf_that_is_switched_at_each_call(compile, x):
    m = nn.Linear(3, 1)

    def step(x):
        m.weight.requires_grad_(not m.weight.requires_grad)
        return m(x)

    f = compile(step)
    for _ in range(4):
        yield f(x), m.weight.requires_grad


@case(may_fall_back=REFUSED)
def leaves_made_inside(compile, x):
    w, kept = nn.Parameter(fb.ones(3)), {}

    def returned(x):
        v = x.clone().requires_grad_()
        return v, (v * v).sum()

    def alone(x):
        return x.clone().requires_grad_() * 2, fb.ones(3, requires_grad=True) + x

    def held(x):
        kept["v"] = w.detach().requires_grad_()
        return kept["v"], (kept["v"] * w * x).sum()

    for function in (returned, alone, held):
        f = compile(function)
        for _ in range(2):
            first, second = f(x)
            second.sum().backward()
            yield first, second, first.grad if first.is_leaf else None, w.grad


@case
def penalty_of_a_gradient_by_a_leaf_made_inside(compile, x):
    w = nn.Parameter(fb.ones(3))

    def penalty(x):
        v = x.clone().requires_grad_()
        (gradient,) = fb.autograd.grad((v * v * w).sum(), v, create_graph=True)
        return gradient.pow(2).sum()

    f = compile(penalty)
    for _ in range(2):
        loss = f(x)
        loss.backward()
        yield loss, w.grad


@case
def methods_that_the_library_finds(compile, x):
    class Scaled(fb.distributions.Normal):
        def log_prob(self, value):
            return super().log_prob(value) * 2

    class Cube(fb.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * a

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 3

    class Part(nn.Module):
        scale = 1.0

        def train(self, mode=True):
            self.scale = 5.0 if mode else 1.0
            return super().train(mode)

        def forward(self, x):
            return x * self.scale

    d = fb.distributions.Independent(Scaled(fb.zeros(3), fb.ones(3)), 1)
    w, net = nn.Parameter(x.clone()), nn.Sequential(Part())

    def step(x):
        w.grad = None
        Cube.apply(w * x).sum().backward()
        net.train(not net.training)
        return d.log_prob(x), w.grad, net(x)

    f = compile(step)
    yield f(x)
    Scaled.log_prob = lambda self, value: value * 3
    yield f(x)
    d.base_dist.log_prob = lambda value: value * 7
    Cube.backward = staticmethod(lambda ctx, gradient: gradient * 0 + 7)
    yield f(x)
    Part.train = nn.Module.train
    yield f(x), net[0].scale
    yield f(x), net[0].scale


@case
def whoever_watches_the_tape(compile, x):
    w, seen = nn.Parameter(fb.ones(3)), []

    def pack(t):
        seen.append(t)
        return t

    f = compile(lambda x: (w * x).exp().sum())
    f(x).backward()
    yield w.grad
    with fb.autograd.graph.saved_tensors_hooks(pack, lambda t: t * 0):
        f(x).backward()
    yield w.grad, len(seen)
    g = compile(lambda x: fb.is_anomaly_enabled())
    yield g(x)
    with fb.autograd.set_detect_anomaly(True):
        yield g(x)


IN_PLACE = {
    "resize_": lambda t: t.resize_(1, 3),
    "t_": lambda t: t.t_(),
    "unsqueeze_": lambda t: t.unsqueeze_(0),
    "as_strided_": lambda t: t.as_strided_((2, 2), (1, 1)),
    "set_": lambda t: t.set_(fb.ones(1, 3)),
}


@case
def tensors_that_are_looked_at_otherwise_in_place(compile, x):
    for change in IN_PLACE.values():
        t = fb.arange(6.0).view(2, 3).clone()
        f = compile(lambda x, t=t: t * 2 + x.sum())
        yield f(x)
        change(t)
        yield f(x), t


@case
def tensors_that_come_to_the_tape_by_a_write(compile, x):
    w, t, count = nn.Parameter(fb.ones(3) * 2), fb.ones(3), fb.ones(3)
    f = compile(lambda x: (x * t).sum())
    g = compile(lambda x: (x * 2 if t.is_leaf else x * 3, t.requires_grad, count._version))
    yield f(x), g(x)
    t.mul_(w)
    count.add_(1)
    loss = f(x)
    loss.backward()
    yield loss, w.grad, g(x)
    t.detach_()
    yield f(x), g(x)
    t.requires_grad_()
    f(x).backward()
    yield t.grad, g(x)


@case(may_fall_back="a computed argument stands in the trace as a leaf")
def places_of_arguments_on_the_tape(compile, x):
    w = x.clone().requires_grad_()
    f = compile(lambda v: (v.is_leaf, v.requires_grad, v.grad_fn is None, v * 2))
    g = compile(lambda v: v + v._version)
    h = compile(lambda v, of: (v * 2, v._base is of, v._is_view()))
    for v in (w, w * 1, x, w, w + 1):
        yield f(v)
    for _ in range(2):
        yield g(x), h(x[:2], x), h(x, x)
        x.add_(1)


@case
def methods_given_to_tensors(compile, x):
    f = compile(lambda x: x.doubled() if hasattr(x, "doubled") else x)
    try:
        yield f(x)
        fb.Tensor.doubled = lambda self: self * 2
        yield f(x)
        fb.Tensor.doubled = lambda self: self * 4
        yield f(x)
    finally:
        del fb.Tensor.doubled
    yield f(x)


@case(may_fall_back=REFUSED)
def a_loader_inside_draws_once(compile, x):
    data = fb.utils.data.TensorDataset(fb.arange(6.0))
    loader = fb.utils.data.DataLoader(data, batch_size=2, shuffle=True)
    f = compile(lambda: fb.cat([batch for (batch,) in loader]))
    for _ in range(2):
        yield f(), fb.rand(1)


@case
def what_subclasses_are_asked(compile, x):
    asked = []

    class Asked(fb.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            asked.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})

    f = compile(lambda a: (a * 2).sum())
    for _ in range(3):
        yield f(x.as_subclass(Asked)), list(asked)
        asked.clear()


@case(may_fall_back="it writes into the memory of a NumPy array")
def memory_of_numpy_that_is_written(compile, x):
    start = np.ones(3, np.float32)

    def copied(x):
        a = fb.from_numpy(start.copy())
        a.add_(x.sum())
        return a

    def seen_by_both(x):
        made = np.zeros(3, np.float32)
        fb.as_tensor(made).add_(x.sum())
        return fb.from_numpy(made) * 2

    f, g = compile(copied), compile(seen_by_both)
    for _ in range(3):
        yield f(x), g(x)


@case
def a_function_of_functional_that_is_replaced(compile, x):
    layer, relu = nn.ReLU(), nn.functional.relu
    f = compile(lambda x: layer(x) + 1)
    try:
        yield f(x)
        nn.functional.relu = lambda input, inplace=False: input * 3
        yield f(x)
    finally:
        nn.functional.relu = relu
    yield f(x)


@case.test
def test_library_state(case: Case):
    case.check()


@pytest.mark.parametrize("setting", [fb.initial_seed, fb.get_num_threads, fb.is_warn_always_enabled])
def test_settings_that_are_asked_cost_no_program(setting):
    f = fb.compile(lambda x: x + float(setting()))
    for _ in range(3):
        f(fb.ones(2))
    assert len(fb.compile.explain(f)) == 1
