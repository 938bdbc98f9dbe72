"""A compiled function does what the eager one does, once traced per signature, and harms nothing that others hold."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F


def values(state):
    return {k: np.array(v._array) for k, v in state.items()}


def close(a, b):
    assert list(a) == list(b)
    for key in a:
        np.testing.assert_allclose(a[key], b[key], rtol=2e-4, atol=1e-6, err_msg=key)


def mlp(extra=(), bias=True):
    return nn.Sequential(nn.Linear(6, 16, bias), *extra, nn.ReLU(), nn.Linear(16, 3))


def conv():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4, 3)
    )  # fmt: skip


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.inner(torch_relu(self.inner(x)))
        x[:, 0] = 1.0
        x.view(-1)[::2].mul_(0.5)
        return self.head(x)


def torch_relu(x):
    return fb.relu(x)


NETWORKS = {
    "mlp": (lambda: mlp(), (8, 6)),
    "dropout": (lambda: mlp([nn.Dropout(0.4)]), (8, 6)),
    # a bias before a batch norm has no gradient but noise, which adaptive optimizers blow up
    "batch_norm": (lambda: mlp([nn.BatchNorm1d(16)], bias=False), (8, 6)),
    "conv": (conv, (4, 1, 4, 4)),
    "shared weights, writes in place, views": (Shared, (8, 6)),
}
OPTIMIZERS = {
    "sgd": lambda p: fb.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda p: fb.optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: fb.optim.RMSprop(p, lr=1e-3),
}


class Job:
    def __init__(self, network, optimizer="sgd"):
        build, shape = NETWORKS[network]
        fb.manual_seed(0)
        self.model = build()
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scheduler = fb.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.5)
        self.x, self.y = fb.randn(*shape), fb.randint(0, 3, (shape[0],))
        self.runs = 0

    def step(self, x, y):
        self.runs += 1
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_steps_agree_with_eager_and_mix_with_them(network, optimizer):
    eager, job = Job(network, optimizer), Job(network, optimizer)
    compiled = fb.compile(job.step)
    for i in range(6):
        fb.manual_seed(i)
        a = eager.step(eager.x, eager.y)
        fb.manual_seed(i)
        b = (job.step if i == 3 else compiled)(job.x, job.y)
        np.testing.assert_allclose(a.item(), b.item(), rtol=1e-4)
        eager.scheduler.step()
        job.scheduler.step()
    close(values(eager.model.state_dict()), values(job.model.state_dict()))
    grads = [{n: np.array(p.grad._array) for n, p in j.model.named_parameters()} for j in (eager, job)]
    close(*grads)
    assert len(fb.compile.explain(compiled)) == 1
    assert job.runs == 6  # what the step counts is counted at each call


def test_gradient_accumulation_over_calls():
    def run(wrap):
        fb.manual_seed(0)
        model = mlp()
        optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
        x, y = fb.randn(3, 8, 6), fb.randint(0, 3, (3, 8))
        part = wrap(lambda x, y: F.cross_entropy(model(x), y).backward())
        step = wrap(lambda: (optimizer.step(), optimizer.zero_grad())[1])
        for _ in range(3):
            for i in range(3):
                part(x[i], y[i])
            step()
        return values(model.state_dict())

    close(run(lambda f: f), run(fb.compile))


def test_two_optimizers_and_an_average_of_the_weights():
    def run(wrap):
        fb.manual_seed(0)
        maker, critic = nn.Linear(2, 4), nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        average = copy.deepcopy(maker)
        first = fb.optim.Adam(maker.parameters(), lr=1e-2)
        second = fb.optim.Adam(critic.parameters(), lr=1e-2)

        def step(real):
            noise = fb.randn(8, 2)
            second.zero_grad()
            made = maker(noise)
            loss = F.softplus(-critic(real)).mean() + F.softplus(critic(made.detach())).mean()
            loss.backward()
            second.step()
            first.zero_grad()
            F.softplus(-critic(made)).mean().backward()
            first.step()
            with fb.no_grad():
                for p, q in zip(average.parameters(), maker.parameters(), strict=True):
                    p.lerp_(q, 0.1)
            return loss

        step = wrap(step)
        real = fb.ones(8, 4)
        losses = [step(real).item() for _ in range(5)]
        return values({**maker.state_dict(), **{"avg" + k: v for k, v in average.state_dict().items()}}), losses

    (a, first), (b, second) = run(lambda f: f), run(fb.compile)
    close(a, b)
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_random_draws_are_new_at_each_call_and_from_the_same_stream():
    def draw():
        noise = fb.zeros(3)
        noise.normal_()
        return fb.rand(2), fb.randn(20), fb.randint(0, 9, (4,)), noise

    compiled = fb.compile(draw)
    fb.manual_seed(3)
    expected = [draw() for _ in range(3)]
    fb.manual_seed(3)
    for wanted in expected:
        for a, b in zip(compiled(), wanted, strict=True):
            assert a.tolist() == b.tolist()


def test_a_compiled_module_infers_and_can_be_differentiated_outside():
    fb.manual_seed(0)
    model = mlp()
    compiled = fb.compile(model)
    x = fb.randn(5, 6, requires_grad=True)
    with fb.no_grad():
        np.testing.assert_allclose(compiled(x)._array, model(x)._array, rtol=1e-5)
    compiled(x).square().sum().backward()
    mine, grads = np.array(x.grad._array), [np.array(p.grad._array) for p in model.parameters()]
    x.grad = None
    model.zero_grad()
    model(x).square().sum().backward()
    np.testing.assert_allclose(mine, x.grad._array, rtol=1e-4, atol=1e-6)
    for a, p in zip(grads, model.parameters(), strict=True):
        np.testing.assert_allclose(a, p.grad._array, rtol=1e-4, atol=1e-6)


def test_modes_and_structure_are_part_of_the_signature():
    fb.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    compiled = fb.compile(lambda x: model(x))
    x = fb.ones(2, 4)
    compiled(x)
    model.eval()
    np.testing.assert_allclose(compiled(x)._array, model(x)._array, rtol=1e-6)
    model[0] = nn.Linear(4, 7)
    assert compiled(x).shape == (2, 7)
    model[0].register_forward_hook(lambda m, i, o: o * 0)
    assert compiled(x).sum().item() == 0
    for p in model.parameters():
        p.requires_grad_(False)
    assert not compiled(x).requires_grad


def test_nothing_that_others_hold_is_invalidated():
    job = Job("mlp", "adamw")
    compiled = fb.compile(job.step)
    compiled(job.x, job.y)
    weight = job.model[0].weight
    held = {
        "clone": weight.detach().clone(),
        "alias": weight.data,
        "deepcopy": copy.deepcopy(job.model).state_dict()["0.weight"],
        "grad": weight.grad,
    }
    array, state = weight._array, copy.deepcopy(job.optimizer.state_dict())
    numbers = np.asarray(array)
    before = {k: np.array(v._array) for k, v in held.items()}
    for _ in range(3):
        compiled(job.x, job.y)
    for key in ("clone", "deepcopy", "grad"):
        np.testing.assert_array_equal(before[key], held[key]._array)
    np.testing.assert_array_equal(before["clone"], array)
    np.testing.assert_array_equal(before["clone"], numbers)
    assert held["alias"].tolist() == weight.tolist()
    job.optimizer.load_state_dict(state)


def test_a_failing_function_leaves_everything_as_it_was():
    job = Job("batch_norm")

    def broken(x, y):
        job.step(x, y)
        raise KeyError("deliberate")

    before, grads = values(job.model.state_dict()), [p.grad for p in job.model.parameters()]
    with pytest.raises(KeyError, match="deliberate"):
        fb.compile(broken, fullgraph=True)(job.x, job.y)
    close(before, values(job.model.state_dict()))
    assert [p.grad for p in job.model.parameters()] == grads
    job.step(job.x, job.y)


@pytest.mark.parametrize(
    "ask", [lambda t: t.item(), lambda t: bool(t > 0), lambda t: t.numpy(), lambda t: t.tolist(), float]
)
def test_values_are_refused_with_the_users_line(ask):
    def function(x):
        y = x.sum()
        ask(y)
        return y

    with pytest.raises(fb.compiler.CompileError, match=re.escape("test_compile.py")) as caught:
        fb.compile(function, fullgraph=True)(fb.ones(3))
    assert "torch.where" in str(caught.value)
    compiled = fb.compile(function)
    with pytest.warns(UserWarning, match="runs uncompiled"):
        assert compiled(fb.ones(3)).item() == 3
    assert compiled(fb.ones(3) * 2).item() == 6


def test_printing_is_done_at_each_call(capsys):
    compiled = fb.compile(lambda x: print(x * 2))
    with pytest.warns(UserWarning, match="it prints"):
        compiled(fb.ones(2))
    compiled(fb.ones(2) * 2)
    assert capsys.readouterr().out == "tensor([2., 2.])\ntensor([4., 4.])\n"


def test_a_smaller_last_batch_is_a_second_program_and_told_once():
    compiled = fb.compile(lambda x: x * 2)
    compiled(fb.ones(8, 2))
    with pytest.warns(UserWarning, match="drop_last"):
        compiled(fb.ones(5, 2))
    compiled(fb.ones(3, 2))
    assert len(fb.compile.explain(compiled)) == 3 and "->" in str(fb.compile.explain(compiled))


def test_module_compile() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    calls = []
    model.register_forward_hook(lambda module, args, output: calls.append(type(module).__name__))
    x = fb.randn(2, 4)
    eager = model(x)
    model.compile()
    for _ in range(3):
        close({"out": model(x).detach().numpy()}, {"out": eager.detach().numpy()})
    assert len(calls) == 4  # what a hook writes is written at each call
    plain = nn.Linear(4, 3)
    plain.compile()
    for other in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        close({"out": other(x).detach().numpy()}, {"out": plain(x).detach().numpy()})
    model(x).sum().backward()
    assert model[0].weight.grad is not None and list(model.state_dict()) == ["0.weight", "0.bias"]


def test_results_keep_their_containers() -> None:
    made = fb.compile(lambda x: {"z": x, "a": (x + 1, None, [2])})(fb.ones(2))
    assert list(made) == ["z", "a"] and made["a"][1] is None and made["a"][2] == [2]
    assert fb.compile(lambda x: None)(fb.ones(2)) is None and fb.compile(lambda x: ())(fb.ones(2)) == ()
