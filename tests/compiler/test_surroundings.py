"""A program holds only while what its function finds outside of it is the same; what the function keeps is kept up to date."""

from __future__ import annotations

import collections
import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F
from flambeau.utils.checkpoint import checkpoint

factor: Any = 1.0
options = {"weight": 1.0}
record = SimpleNamespace(shift=0.0, tensor=fb.ones(3))


def plain(value: Any) -> Any:
    """Values without identity, so that two runs can be compared."""
    if isinstance(value, fb.Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def close(compiled: Any, eager: Any) -> None:
    assert type(compiled) is type(eager)
    if isinstance(eager, np.ndarray):
        np.testing.assert_allclose(compiled, eager, rtol=1e-4, atol=1e-6)
    elif isinstance(eager, (dict, list)):
        assert len(compiled) == len(eager)
        pairs = (
            zip(compiled.values(), eager.values(), strict=True)
            if isinstance(eager, dict)
            else zip(compiled, eager, strict=True)
        )
        for a, b in pairs:
            close(a, b)
    else:
        assert compiled == eager


def batch(i: int) -> tuple[Any, Any]:
    generator = fb.Generator().manual_seed(i)
    return fb.randn(6, 5, generator=generator), fb.randint(0, 3, (6,), generator=generator)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def globals_and_attributes(compiled: Any) -> Any:
    global factor
    factor, record.shift, record.tensor = 1.0, 0.0, fb.ones(3)
    options["weight"] = 1.0

    @compiled
    def f(x: Any) -> Any:
        return x * factor * options["weight"] + record.shift + record.tensor

    x = fb.ones(3)
    yield f(x)
    factor = 2.0
    yield f(x)
    options["weight"] = 5.0
    yield f(x)
    record.shift = 3
    yield f(x)
    record.tensor = record.tensor * 4
    yield f(x)
    factor = fb.full((3,), 2.0)
    yield f(x)
    factor.add_(1)
    yield f(x)


def variables_of_enclosing_functions(compiled: Any) -> Any:
    state, weight, layers = fb.zeros(3), 1.0, [fb.ones(3)]

    def helper(x: Any) -> Any:
        return x * weight + layers[0]

    @compiled
    def f(x: Any) -> Any:
        nonlocal state
        state = state * 0.5 + helper(x)
        return state

    for i in range(5):
        weight = float(i // 2)
        if i == 3:
            layers[0] = fb.zeros(3)
        yield f(fb.ones(3)), state


def an_object_that_trains(compiled: Any) -> Any:
    class Trainer:
        def __init__(self) -> None:
            self.net = mlp()
            self.optimizer = fb.optim.Adam(self.net.parameters(), lr=0.01)
            self.decay, self.logged = 0.1, {}
            self.step, self.forward = compiled(self.step), compiled(self.forward)

        def penalty(self) -> Any:
            return sum(p.pow(2).sum() for p in self.net.parameters()) * self.decay

        def forward(self) -> Any:
            self.out = self.net(self.x)
            return self.out

        def step(self) -> Any:
            self.predicted = self.net(self.x)
            self.loss = F.cross_entropy(self.predicted, self.y) + self.penalty()
            self.logged["loss"] = self.loss.detach()
            self.optimizer.zero_grad()
            self.loss.backward()
            self.optimizer.step()
            return self.loss

    trainer = Trainer()
    for i in range(4):
        trainer.x, trainer.y = batch(i)
        yield trainer.step(), trainer.loss, trainer.predicted, trainer.logged
        if i == 1:
            trainer.decay = 0.5
    trainer.optimizer.zero_grad()
    trainer.forward()
    trainer.out.sum().backward()  # a result that was kept is on the tape, too
    yield [p.grad for p in trainer.net.parameters()]


def methods_of_modules(compiled: Any) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.temperature, self.config = nn.Linear(5, 3), 1.0, {"scale": 1.0}

        @fb.no_grad()
        def infer(self, x: Any) -> Any:
            return self.layer(x) / self.temperature

        def encode(self, x: Any, *, k: int = 2) -> Any:
            return self.layer(x) * k / self.temperature

        def forward(self, x: Any) -> Any:
            return self.layer(x) * self.config["scale"]

    model, x = Model(), batch(0)[0]
    infer, encode, part = compiled(model.infer), compiled(model.encode), compiled(functools.partial(model.encode, k=3))
    call = compiled(lambda x: model(x))
    for temperature in (1.0, 2.0, 4.0):
        model.temperature = temperature
        model.config["scale"] = temperature + 1
        yield infer(x), encode(x), encode(x, k=3), part(x), call(x)


def modules_that_grow(compiled: Any) -> Any:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = nn.ModuleList([nn.Linear(5, 5)]), nn.Linear(5, 3)

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = fb.tanh(layer(x))
            return self.head(x)

    model = Growing()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = compiled(functools.partial(train, model, optimizer))
    for i in range(6):
        yield step(*batch(i)), list(model.parameters())
        if i == 1:
            model.layers.append(nn.Linear(5, 5))
        elif i == 2:
            optimizer.add_param_group({"params": model.layers[1].parameters(), "lr": 0.01})
        elif i == 3:
            model.layers[0] = nn.Identity()


def train(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def hooks_that_come_and_go(compiled: Any) -> Any:
    model, free = mlp(), fb.ones(3, requires_grad=True)
    optimizer = fb.optim.SGD([*model.parameters(), free], lr=0.1)
    step = compiled(lambda x, y: train(lambda v: model(v) * free, optimizer, x, y))

    def halve(parameter: Any) -> None:
        parameter.grad.mul_(0.5)

    handles = []
    for i, register in enumerate(
        (
            lambda: model[0].weight.register_hook(lambda g: g * 3),
            lambda: model[0].bias.register_post_accumulate_grad_hook(halve),
            lambda: free.register_hook(lambda g: g * 2),
            lambda: optimizer.register_step_pre_hook(lambda o, args, kwargs: halve(model[2].weight)),
        )
    ):
        yield step(*batch(i)), [p.grad for p in (*model.parameters(), free)]
        handles.append(register())
    for handle in handles:
        handle.remove()
        yield step(*batch(9)), [p.grad for p in (*model.parameters(), free)]


def checkpoints_with_dropout(compiled: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
    step = compiled(lambda x, y: train(lambda v: checkpoint(model, v, use_reentrant=False), optimizer, x, y))
    for i in range(3):
        yield step(*batch(i)), [p.grad for p in model.parameters()]


@dataclasses.dataclass
class Output:
    loss: Any
    extra: Any = None


def results_of_many_kinds(compiled: Any) -> Any:
    f = compiled(lambda x: {"a": Output(x * 2, [x, 3]), "b": collections.OrderedDict(z=x + 1)})
    results = [f(fb.ones(3) * i) for i in range(3)]
    yield [(r["a"].loss, r["a"].extra, r["b"]) for r in results]


def marks_and_fills(compiled: Any) -> Any:
    def masked(x: Any) -> Any:
        a, b, c, d = (x.clone() for _ in range(4))
        a[x > 0] = 1.0
        b[:, x[0] > 0] = -1
        c[x[:, 0] > 0] = x[0].clone()
        d[x > 0] = fb.tensor([2.0])
        return a, b, c, d

    def differentiated(x: Any) -> Any:
        value, x = fb.tensor(2.0, requires_grad=True), x.detach().requires_grad_()
        made = x * 1
        made[x > 0] = value
        return fb.autograd.grad((made * made).sum(), [value, x])

    f, g = compiled(masked), compiled(differentiated)
    for i in range(2):
        yield f(batch(i)[0]), g(batch(i)[0])


SCENARIOS = (
    globals_and_attributes,
    variables_of_enclosing_functions,
    an_object_that_trains,
    methods_of_modules,
    modules_that_grow,
    hooks_that_come_and_go,
    checkpoints_with_dropout,
    results_of_many_kinds,
    marks_and_fills,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_compiled_is_eager(scenario: Any) -> None:
    runs = []
    for compiled in (fb.compile, lambda function: function):
        fb.manual_seed(0)
        runs.append([plain(value) for value in scenario(compiled)])
    close(*runs)


def test_nothing_is_traced_again_for_what_is_not_read() -> None:
    model, log = mlp(), []
    holder = SimpleNamespace(model=model, count=0)

    @fb.compile
    def step(x: Any) -> Any:
        holder.count += 1
        log.append(1)
        return holder.model(x)

    for _ in range(3):
        step(batch(0)[0])
        holder.other = object()
    assert len(fb.compile.explain(step)) == 1 and log == [1] * 3 and holder.count == 3


def test_draws_of_one_program_do_not_enter_another() -> None:
    @fb.compile
    def draw(x: Any, flag: int) -> Any:
        return x + fb.empty(5).uniform_(-1, 1), fb.randperm(5)

    fb.manual_seed(0)
    drawn = [draw(fb.zeros(5), flag) for flag in (0, 1, 0)]
    fb.manual_seed(0)
    for made, _ in drawn:
        np.testing.assert_array_equal(made.numpy(), fb.empty(5).uniform_(-1, 1).numpy())
        fb.randperm(5)
