"""Optimizers, schedulers and trainers: what a compiled training step reads of them at each call."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn

case = Table()


class Trainer:
    def __init__(self, optimizer: Any = fb.optim.SGD, **options: Any):
        self.model = nn.Linear(3, 1)
        self.opt = optimizer(self.model.parameters(), **{"lr": 0.1, **options})
        self.clip = None
        self.loss = nn.functional.mse_loss

    def step(self, x):
        self.opt.zero_grad()
        loss = self.loss(self.model(x), fb.zeros(1))
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.opt.step()
        return loss

    def look(self):
        return list(self.model.parameters()), [p.grad for p in self.model.parameters()]


@case
def learning_rate(compile, x):
    t = Trainer(momentum=0.9)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"] = 0.01
    yield f(x), t.look()
    for group in t.opt.param_groups:
        group["lr"] *= 0.5
    yield f(x), t.look()


@case
def learning_rate_is_a_tensor(compile, x):
    t = Trainer(lr=fb.tensor(0.1))
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"].fill_(0.01)
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"] = 0.5
    yield f(x), t.look()


@case
def momentum_nesterov_weight_decay_maximize(compile, x):
    t = Trainer(momentum=0.9)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["momentum"] = 0.5
    yield f(x), t.look()
    t.opt.param_groups[0].update(nesterov=True, weight_decay=0.1)
    yield f(x), t.look()
    t.opt.param_groups[0]["maximize"] = True
    yield f(x), t.look()


@case
def betas_and_eps_of_adam(compile, x):
    t = Trainer(fb.optim.AdamW)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["betas"] = (0.5, 0.6)
    yield f(x), t.look()
    t.opt.param_groups[0]["eps"] = 1.0
    yield f(x), t.look()


@case
def group_added(compile, x):
    t, extra = Trainer(), nn.Parameter(fb.ones(3))
    f = compile(lambda x: t.step(x * extra))
    yield f(x), t.look(), extra
    t.opt.add_param_group({"params": [extra], "lr": 1.0})
    yield f(x), t.look(), extra
    t.opt.param_groups[1]["lr"] = 0.1
    yield f(x), t.look(), extra


@case
def parameters_frozen(compile, x):
    t = Trainer(momentum=0.9)
    f = compile(t.step)
    yield f(x), t.look()
    t.model.bias.requires_grad_(False)
    yield f(x), t.look()
    t.model.bias.requires_grad_(True)
    yield f(x), t.look()


@case
def learning_rate_that_becomes_a_tensor(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"] = fb.tensor(0.05)
    for _ in range(2):
        yield f(x), t.look()
    t.opt.param_groups[0]["lr"].fill_(0.2)
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"] = 0.2
    yield f(x), t.look()


@case
def scheduler_stepped_outside(compile, x):
    t = Trainer()
    scheduler = fb.optim.lr_scheduler.ExponentialLR(t.opt, 0.5)
    f = compile(t.step)
    for _ in range(3):
        yield f(x), t.look()
        scheduler.step()


@case
def optimizer_state_loaded(compile, x):
    t, other = Trainer(fb.optim.Adam), Trainer(fb.optim.Adam)
    for _ in range(2):
        other.step(x * 2)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.load_state_dict(other.opt.state_dict())
    yield f(x), t.look()
    t.model.load_state_dict(other.model.state_dict())
    yield f(x), t.look()


@case
def optimizer_state_cleared(compile, x):
    t = Trainer(momentum=0.9)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.state.clear()
    yield f(x), t.look()
    yield f(x), t.look()


@case
def optimizer_state_edited(compile, x):
    t = Trainer(fb.optim.Adam)
    f = compile(t.step)
    yield f(x), t.look()
    state = t.opt.state[t.model.weight]
    state["exp_avg"] = fb.zeros_like(state["exp_avg"])
    yield f(x), t.look()
    state["exp_avg_sq"].fill_(1.0)
    yield f(x), t.look()
    state["step"] = fb.tensor(100.0, dtype=fb.float32)
    yield f(x), t.look()


@case
def model_and_optimizer_replaced(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    old = t.look()
    new = Trainer()
    t.model, t.opt = new.model, new.opt
    yield f(x), t.look(), old
    yield f(x), t.look(), old


@case
def optimizer_of_another_kind(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    t.opt = fb.optim.Adam(t.model.parameters(), lr=0.1)
    yield f(x), t.look()
    yield f(x), t.look()


@case
def model_of_another_shape(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    t.model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    t.opt = fb.optim.SGD(t.model.parameters(), lr=0.1)
    yield f(x), t.look()


@case
def model_replaced_the_optimizer_not(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    old = t.model
    t.model = nn.Linear(3, 1)
    yield f(x), t.look(), list(old.parameters())


@case
def loss_function_replaced(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    t.loss = nn.functional.l1_loss
    yield f(x), t.look()
    t.loss = nn.HuberLoss(delta=0.1)
    yield f(x), t.look()
    t.loss.delta = 10.0
    yield f(x), t.look()


@case
def clipping_switched_on(compile, x):
    t = Trainer()
    f = compile(t.step)
    yield f(x), t.look()
    t.clip = 0.01
    yield f(x), t.look()
    t.clip = 100
    yield f(x), t.look()


@case
def config_dataclass_of_a_trainer(compile, x):
    @dataclasses.dataclass
    class Config:
        weight: float = 1.0
        terms: tuple[str, ...] = ("mse",)

    t, cfg = Trainer(), Config()

    def loss(a, b):
        total = nn.functional.mse_loss(a, b) * cfg.weight
        return total + a.abs().sum() if "l1" in cfg.terms else total

    t.loss = loss
    f = compile(t.step)
    yield f(x), t.look()
    cfg.weight = 2.0
    yield f(x), t.look()
    cfg.terms += ("l1",)
    yield f(x), t.look()


@case
def custom_optimizer(compile, x):
    class Sign(fb.optim.Optimizer):
        scale = 1.0

        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})
            self.extra = 0.0

        @fb.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad.sign(), alpha=-group["lr"] * self.scale - self.extra)

    t = Trainer(Sign)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.extra = 0.5
    yield f(x), t.look()
    t.opt.param_groups[0]["lr"] = 0.3
    yield f(x), t.look()
    Sign.scale = 10.0
    yield f(x), t.look()


@case
def custom_optimizer_with_its_own_group_keys(compile, x):
    class Lookahead(fb.optim.Optimizer):
        def __init__(self, params, lr, rule):
            super().__init__(params, {"lr": lr, "rule": rule})

        @fb.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p -= group["rule"](p.grad) * group["lr"]

    t = Trainer(Lookahead, rule=fb.sign)
    f = compile(t.step)
    yield f(x), t.look()
    t.opt.param_groups[0]["rule"] = lambda g: g * 2
    yield f(x), t.look()
    t.opt.param_groups[0]["params"].pop()
    yield f(x), t.look()


@case
def optimizer_by_hand(compile, x):
    model = nn.Linear(3, 1)
    cfg = types.SimpleNamespace(lr=0.1, decay=0.0)

    def step(x):
        loss = model(x).pow(2).sum()
        grads = fb.autograd.grad(loss, list(model.parameters()))
        with fb.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= cfg.lr * (g + cfg.decay * p)
        return loss

    f = compile(step)
    yield f(x), model.weight
    cfg.lr = 0.5
    yield f(x), model.weight
    cfg.decay = 0.1
    yield f(x), model.weight


@case
def optimizer_hooks(compile, x):
    t, gain = Trainer(), [0.5]
    f = compile(t.step)
    yield f(x), t.look()

    def scale(opt, args, kwargs):
        for p in t.model.parameters():
            p.grad.mul_(gain[0])

    handle = t.opt.register_step_pre_hook(scale)
    yield f(x), t.look()
    gain[0] = 3.0
    yield f(x), t.look()
    handle.remove()
    yield f(x), t.look()


@case
def gradients_set_outside(compile, x):
    w = nn.Parameter(fb.ones(3))
    opt = fb.optim.SGD([w], lr=0.1)
    f = compile(lambda: opt.step())
    w.grad = fb.ones(3)
    yield f(), w
    w.grad = fb.tensor([1.0, 2.0, 3.0])
    yield f(), w
    w.grad = None
    yield f(), w
    w.grad = fb.full((3,), 5.0)
    yield f(), w


@case
def several_trainers_one_step(compile, x):
    f = compile(lambda trainer, x: trainer.step(x))
    a, b = Trainer(), Trainer(momentum=0.9)
    yield f(a, x), f(b, x)
    a.opt.param_groups[0]["lr"] = 1.0
    yield f(a, x), a.look(), f(b, x), b.look()


@case
def tensor_learning_rates_of_two_groups(compile, x):
    a, b = nn.Parameter(fb.ones(3)), nn.Parameter(fb.ones(3))
    opt = fb.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}])

    def step(x):
        opt.zero_grad()
        (a * b * x).sum().backward()
        opt.step()

    f = compile(step)
    yield f(x), a, b
    opt.param_groups[0]["lr"], opt.param_groups[1]["lr"] = opt.param_groups[1]["lr"], opt.param_groups[0]["lr"]
    yield f(x), a, b
    opt.param_groups.reverse()
    yield f(x), a, b


def two_layers_of_which_one_is_trained(momentum):
    a, b = nn.Linear(3, 1), nn.Linear(3, 1)
    opt = fb.optim.SGD(a.parameters(), lr=0.1, momentum=momentum)

    def step(x):
        opt.zero_grad()
        (a(x) + b(x)).sum().backward()
        opt.step()
        return [p.detach().clone() for p in (*a.parameters(), *b.parameters())]

    return a, b, opt, step


@case
def groups_taken_out_and_put_in_by_hand(compile, x):
    _, b, opt, step = two_layers_of_which_one_is_trained(0.9)
    opt.add_param_group({"params": b.parameters(), "lr": 0.5})
    f = compile(step)
    yield f(x), f(x)
    group = opt.param_groups.pop()
    yield f(x)
    opt.param_groups.append({**group, "lr": 5.0})
    yield f(x)
    opt.param_groups = opt.param_groups[:1]
    yield f(x)


@case
def parameters_of_a_group_changed_by_hand(compile, x):
    a, b, opt, step = two_layers_of_which_one_is_trained(0.0)
    f = compile(step)
    yield f(x), f(x)
    opt.param_groups[0]["params"][0] = b.weight
    yield f(x)
    opt.param_groups[0]["params"].append(a.weight)
    yield f(x)
    opt.param_groups[0] = {**opt.param_groups[0], "lr": 3.0}
    yield f(x)


@case
def tables_of_modules_changed_by_hand(compile, x):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    other = nn.Linear(3, 3)
    model[0].register_forward_hook(lambda module, args, out: out * 2)
    f = compile(lambda x: model(x).detach())
    yield f(x), f(x)
    model[0]._forward_hooks.clear()
    yield f(x)
    model[1]._forward_pre_hooks[7] = lambda module, args: (args[0] + 1,)
    yield f(x)
    model[0]._parameters["bias"] = None
    yield f(x)
    model[0]._parameters["weight"] = other.weight
    yield f(x)
    model._modules["1"] = other
    yield f(x)
    model._modules.clear()
    yield f(x)


@case.test
def test_training(case: Case) -> None:
    case.check()
