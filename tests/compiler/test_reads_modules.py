"""Modules, their flags, parts and parameters, as a compiled function finds them at each call."""

from __future__ import annotations

import copy
import types
from typing import Any

import pytest

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from flambeau import nn

case = Table()


class Scale(nn.Module):
    factor = 1.0

    def __init__(self, k: Any = 1.0):
        super().__init__()
        self.k = k

    def forward(self, x):
        return x * self.k * self.factor


class Net(nn.Module):
    """Three values in, three out, without random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.act = nn.Tanh()
        self.scale = Scale()

    def forward(self, x):
        return self.scale(self.act(self.fc(x)))


# -------------------------------------------------------------------------------------------- attributes


@case
def number_of_a_module(compile, x):
    m = Scale()
    f = compile(m)
    yield f(x)
    m.k = 2.0
    yield f(x)
    m.k = 2
    yield f(x)


@case
def number_of_an_inner_module(compile, x):
    m = nn.Sequential(Net(), nn.Sequential(Scale()))
    f = compile(m)
    yield f(x)
    m[1][0].k = 2.0
    yield f(x)
    m[0].scale.k = 3.0
    yield f(x)


@case
def class_attribute_of_a_module(compile, x):
    class Gain(nn.Module):
        gain = 1.0

        def forward(self, x):
            return x * self.gain

    m = nn.Sequential(Gain(), Gain())
    f = compile(m)
    yield f(x)
    Gain.gain = 2.0
    yield f(x)
    m[0].gain = 5.0
    yield f(x)
    del m[0].gain
    yield f(x)


@case
def object_held_by_a_module(compile, x):
    m = Scale()
    m.cfg = types.SimpleNamespace(bias=1.0)
    m.forward = lambda x: x + m.cfg.bias
    f = compile(m)
    yield f(x)
    m.cfg.bias = 2.0
    yield f(x)
    m.cfg = types.SimpleNamespace(bias=3.0)
    yield f(x)


@case
def list_held_by_a_module(compile, x):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.ks = [1.0, 2.0]

        def forward(self, x):
            return x * sum(self.ks)

    m = Sum()
    f = compile(m)
    yield f(x)
    m.ks[0] = 5.0
    yield f(x)
    m.ks.append(1.0)
    yield f(x)
    m.ks = []
    yield f(x)


@case
def number_becomes_a_tensor_becomes_a_parameter(compile, x):
    m = Scale()
    f = compile(m)
    yield f(x)
    m.k = fb.tensor(2.0)
    yield f(x)
    del m.k
    m.k = nn.Parameter(fb.tensor(3.0))
    yield f(x)
    del m.k
    m.k = 4.0
    yield f(x)


@case
def attributes_of_layers(compile, x):
    m = nn.Sequential(nn.LeakyReLU(0.1), nn.ELU(1.0), nn.Softmax(dim=-1))
    f = compile(m)
    x = x - 2
    yield f(x)
    m[0].negative_slope = 0.5
    yield f(x)
    m[1].alpha = 2.0
    yield f(x)
    m[2].dim = 0
    yield f(x)


@case
def eps_and_momentum_of_a_batch_norm(compile, x):
    m = nn.BatchNorm1d(3)
    x = fb.arange(6.0).view(2, 3) ** 2
    f = compile(m)
    yield f(x), m.running_mean, m.num_batches_tracked
    m.eps = 1.0
    yield f(x), m.running_mean
    m.momentum = 0.9
    yield f(x), m.running_mean, m.running_var
    m.momentum = None
    yield f(x), m.running_mean, m.num_batches_tracked


@case
def property_of_a_module(compile, x):
    class Gained(nn.Module):
        def __init__(self):
            super().__init__()
            self._gain = 1.0

        @property
        def gain(self):
            return self._gain * 2

        def forward(self, x):
            return x * self.gain

    m = Gained()
    f = compile(m)
    yield f(x)
    m._gain = 3.0
    yield f(x)


@case
def forward_monkeypatched(compile, x):
    class Layer(nn.Module):
        def forward(self, x):
            return x + 1

    m = nn.Sequential(Layer(), Layer())
    f = compile(m)
    yield f(x)
    m[0].forward = lambda x: x * 10
    yield f(x)
    Layer.forward = lambda self, x: x - 1
    yield f(x)
    del m[0].forward
    yield f(x)


@case
def class_of_a_module_is_swapped(compile, x):
    class Twice(Scale):
        def forward(self, x):
            return super().forward(x) * 2

    m = nn.Sequential(Scale())
    f = compile(m)
    yield f(x)
    m[0].__class__ = Twice
    yield f(x)


# ------------------------------------------------------------------------------- flags, parts, replacements


@case
def train_and_eval(compile, x):
    class Layer(nn.Module):
        def forward(self, x):
            return x * 2 if self.training else x

    m = nn.Sequential(Layer(), Layer())
    f = compile(m)
    yield f(x)
    m.eval()
    yield f(x)
    m[1].train()
    yield f(x)
    m.train()
    yield f(x)


@case
def dropout_and_batch_norm_frozen(compile, x):
    m = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.0))
    x = fb.arange(6.0).view(2, 3)
    f = compile(lambda x: m(x))
    yield f(x)
    m[0].eval()
    yield f(x), m[0].running_mean
    m[0].train()
    yield f(x), m[0].running_mean


@case
def dropout_probability(compile, x):
    m = nn.Dropout(0.0)
    f = compile(m)
    yield f(x)
    m.p = 1.0
    yield f(x)
    m.eval()
    yield f(x)


@case
def submodule_replaced(compile, x):
    m = Net()
    f = compile(m)
    yield f(x)
    m.fc = nn.Linear(3, 3)
    yield f(x)
    m.act = nn.Sigmoid()
    yield f(x)
    m.scale = nn.Identity()
    yield f(x)


@case
def submodules_added_and_removed(compile, x):
    m = nn.Sequential(Scale(2.0))
    f = compile(m)
    yield f(x)
    m.append(Scale(3.0))
    yield f(x)
    m.insert(0, nn.Tanh())
    yield f(x)
    del m[1]
    yield f(x)


@case
def module_list_and_dict(compile, x):
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Scale(2.0), Scale(3.0)])
            self.heads = nn.ModuleDict({"a": Scale(5.0)})
            self.head = "a"

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.heads[self.head](x)

    m = Many()
    f = compile(m)
    yield f(x)
    m.layers.append(Scale(7.0))
    yield f(x)
    m.heads["b"] = Scale(-1.0)
    m.head = "b"
    yield f(x)
    m.heads["b"].k = 1.0
    yield f(x)


@case
def modules_in_a_plain_list(compile, x):
    layers = [Scale(1.0), Scale(2.0)]
    f = compile(lambda x: layers[1](layers[0](x)))
    yield f(x)
    layers[0] = Scale(10.0)
    yield f(x)
    layers[1].k = 0.5
    yield f(x)


@case
def parameter_replaced(compile, x):
    m = nn.Linear(3, 2)
    f = compile(m)
    yield f(x)
    m.weight = nn.Parameter(fb.ones(2, 3))
    y = f(x)
    yield y
    y.sum().backward()
    yield m.weight.grad, m.bias.grad
    m.bias = None
    yield f(x)
    m.weight = nn.Parameter(fb.ones(4, 3))
    yield f(x)


@case
def parameter_data_assigned(compile, x):
    m = nn.Linear(3, 2)
    f = compile(m)
    yield f(x)
    m.weight.data = fb.ones(2, 3)
    yield f(x)
    m.weight.data = fb.ones(1, 3)
    m.bias.data = fb.ones(1)
    yield f(x)


@case
def parameter_written_under_no_grad(compile, x):
    m = nn.Linear(3, 2)
    f = compile(m)
    yield f(x)
    with fb.no_grad():
        m.weight.fill_(1.0)
        m.bias[0] = 5.0
    yield f(x)
    nn.init.zeros_(m.weight)
    yield f(x)


@case
def buffer_replaced(compile, x):
    m = nn.Module()
    m.register_buffer("n", fb.ones(3))
    m.forward = lambda x: x * m.n
    f = compile(m)
    yield f(x)
    m.n = fb.full((3,), 2.0)
    yield f(x)
    m.n = fb.tensor(3)
    yield f(x)
    m.n = None
    yield attempt(f, x)


@case
def load_state_dict(compile, x):
    m = nn.Linear(3, 2)
    f = compile(m)
    yield f(x)
    m.load_state_dict({"weight": fb.ones(2, 3), "bias": fb.zeros(2)})
    yield f(x)
    m.load_state_dict({"weight": fb.full((2, 3), 2.0), "bias": fb.zeros(2)}, assign=True)
    yield f(x)
    m.load_state_dict({"weight": fb.ones(2, 3, dtype=fb.float32), "bias": fb.zeros(2, dtype=fb.float32)}, assign=True)
    yield f(x.float())


@case
def module_to_another_dtype(compile, x):
    m = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    with fb.no_grad():
        m[0].weight.fill_(0.5), m[0].bias.fill_(0.25)
    f = compile(m)
    yield f(x)
    m.to(fb.bfloat16)
    yield f(x.bfloat16() / 4)
    m.double()
    yield f(x)


@case
def requires_grad_of_parameters(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    f = compile(m)
    yield f(x)
    m[0].requires_grad_(False)
    f(x).sum().backward()
    yield m[0].weight.grad, m[1].weight.grad
    m.requires_grad_(False)
    yield f(x)
    m[0].bias.requires_grad_(True)
    f(x).sum().backward()
    yield m[0].bias.grad, m[0].weight.grad


@case
def weights_tied_between_calls(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    f = compile(m)
    yield f(x)
    m[1].weight = m[0].weight
    y = f(x)
    y.sum().backward()
    yield y, m[0].weight.grad
    m[0].weight.data.fill_(0.5)
    yield f(x)


@case
def parametrization_by_hand(compile, x):
    m = nn.Linear(3, 3)
    mask = fb.ones(3, 3)
    m.forward = lambda x: nn.functional.linear(x, m.weight * mask, m.bias)
    f = compile(m)
    yield f(x)
    mask[0] = 0.0
    yield f(x)
    mask = fb.eye(3)
    yield f(x)


@case
def model_of_another_object_with_the_same_code(compile, x):
    a = Net()
    b = copy.deepcopy(a)
    holder = {"model": a}
    f = compile(lambda x: holder["model"](x))
    yield f(x)
    with fb.no_grad():
        b.fc.weight.mul_(2)
    holder["model"] = b
    yield f(x)
    b.scale.k = 3.0
    yield f(x)
    holder["model"] = a
    yield f(x)


@case
def one_class_many_compiled_instances(compile, x):
    nets = [compile(Scale(k)) for k in (1.0, 2.0, 3.0)]
    yield [net(x) for net in nets]
    nets[1].k = 10.0
    yield [net(x) for net in nets], nets[1].k


@case
def module_as_an_argument(compile, x):
    f = compile(lambda module, x: module(x))
    a, b = Scale(1.0), Scale(2.0)
    yield f(a, x), f(b, x)
    a.k = 5.0
    yield f(a, x)
    yield f(nn.Tanh(), x)


@case
def named_parameters_are_walked(compile, x):
    m = nn.ParameterList([fb.ones(3), fb.ones(3)])
    f = compile(lambda x: sum((i + 1) * (p * x).sum() for i, (n, p) in enumerate(m.named_parameters())))
    yield f(x)
    m.append(fb.ones(3))
    yield f(x)
    m[0] = nn.Parameter(fb.full((3,), 5.0))
    yield f(x)


@case
def weight_penalty_over_new_modules(compile, x):
    m = nn.Sequential(nn.Linear(3, 3))
    f = compile(lambda x: m(x).sum() + sum(p.abs().sum() for p in m.parameters()))
    yield f(x)
    m.append(nn.Linear(3, 1, bias=False))
    yield f(x)
    m[0] = nn.Identity()
    yield f(x)


@case
def entries_of_our_containers(compile, x):
    table = nn.ParameterDict({"a": nn.Parameter(fb.ones(3)), "b": nn.Parameter(fb.ones(3) * 2)})
    rows, box = nn.ParameterList([fb.ones(3), fb.ones(3) * 3]), types.SimpleNamespace(k="a")
    f = compile(lambda y: y * table[box.k] + rows[0] + len(rows) + ("c" in table))
    yield f(x)
    box.k = "b"
    yield f(x)
    table["b"] = nn.Parameter(fb.zeros(3))
    yield f(x)
    rows[0] = nn.Parameter(fb.full((3,), 7.0))
    yield f(x)
    rows.append(fb.ones(3))
    yield f(x)
    table["c"] = nn.Parameter(fb.ones(3))
    yield f(x)


CONTAINERS = {
    "ModuleList": lambda: nn.ModuleList([nn.ReLU()]),
    "ModuleDict": lambda: nn.ModuleDict({"0": nn.ReLU()}),
    "Sequential": lambda: nn.Sequential(nn.ReLU()),
    "ParameterDict": lambda: nn.ParameterDict({"0": fb.ones(1)}),
}
ASKS = {
    "len": lambda held, x: x * len(held.parts),
    "truth": lambda held, x: x * (2 if held.parts else 3),
    "not": lambda held, x: x * (2 if not held.parts else 3),
    "and": lambda held, x: x * (2 if held.parts and len(x) else 3),
    "or": lambda held, x: x * (len(held.parts) or 7),
    "in a list": lambda held, x: x * sum(len(parts) for parts in held.all),
    "map": lambda held, x: x * sum(map(len, held.all)),
    "all": lambda held, x: x * all(held.all),
}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("kind", CONTAINERS)
def test_how_many_parts_there_are(kind: str, ask: str) -> None:
    def scenario(compile, x):
        held = types.SimpleNamespace(parts=CONTAINERS[kind]())
        held.all = [held.parts]
        f = compile(lambda x: ASKS[ask](held, x))
        yield f(x)
        del held.parts["0" if "Dict" in kind else 0]
        yield f(x)
        for k in range(2):
            added = fb.ones(1) if kind == "ParameterDict" else nn.Tanh()
            if "Dict" in kind:
                held.parts[str(k)] = added
            else:
                held.parts.append(added)
            yield f(x)

    Case(scenario).check()


@case.test
def test_modules(case: Case) -> None:
    case.check()
