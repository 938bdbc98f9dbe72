"""Optimizers as repositories write them: Lion, SAM, Lookahead, LARS, LAMB; averages of weights; schedules with a warmup."""

import copy
import math
import warnings

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer, swa_utils

warnings.simplefilter("ignore")
x = torch.linspace(-2, 2, 64).reshape(16, 4).sin()
y = (torch.arange(16) % 3 > 0).long()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def train(optimizer, model, steps=4):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(f"{loss.item():.4f}")
    print(type(optimizer).__name__, *losses)


class Lion(Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = torch.zeros_like(p)
                average, (beta1, beta2) = state["exp_avg"], group["betas"]
                update = average * beta1 + p.grad * (1 - beta1)
                p.add_(torch.sign(update), alpha=-group["lr"])
                average.mul_(beta2).add_(p.grad, alpha=1 - beta2)


class SAM(Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, dict(rho=rho, **kwargs))
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)

    @torch.no_grad()
    def first_step(self):
        norms = [p.grad.norm(p=2) for g in self.param_groups for p in g["params"] if p.grad is not None]
        for group in self.param_groups:
            scale = group["rho"] / (torch.norm(torch.stack(norms), p=2) + 1e-12)
            for p in group["params"]:
                self.state[p]["old_p"] = p.data.clone()
                p.add_(p.grad * scale.to(p))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = self.state[p]["old_p"]
        self.base_optimizer.step()
        self.zero_grad()

    @torch.no_grad()
    def step(self, closure=None):
        closure = torch.enable_grad()(closure)
        self.first_step()
        closure()
        self.second_step()


class Lookahead(Optimizer):
    def __init__(self, optimizer, k=2, alpha=0.5):
        self.optimizer, self.k, self.alpha = optimizer, k, alpha
        self.param_groups, self.state, self.defaults = optimizer.param_groups, {}, optimizer.defaults
        self.counter = 0

    def step(self, closure=None):
        self.optimizer.step(closure)
        self.counter = (self.counter + 1) % self.k
        if self.counter == 0:
            for group in self.param_groups:
                for p in group["params"]:
                    slow = self.state.setdefault(p, {}).setdefault("slow", torch.zeros_like(p.data))
                    slow += (p.data - slow) * self.alpha
                    p.data.copy_(slow)

    def zero_grad(self):
        self.optimizer.zero_grad()


class LARS(Optimizer):
    def __init__(self, params, lr, momentum=0.9, weight_decay=1e-4, eta=0.01):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, eta=eta))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                step = p.grad
                if p.ndim > 1:
                    step = step.add(p, alpha=g["weight_decay"])
                    size, length = torch.norm(p), torch.norm(step)
                    one = torch.ones_like(size)
                    step = step * torch.where(size > 0, torch.where(length > 0, g["eta"] * size / length, one), one)
                state = self.state[p]
                if "mu" not in state:
                    state["mu"] = torch.zeros_like(p)
                state["mu"].mul_(g["momentum"]).add_(step)
                p.add_(state["mu"], alpha=-g["lr"])


class Lamb(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad.data
                if grad.is_sparse:
                    raise RuntimeError("Lamb does not support sparse gradients, consider SparseAdam instead.")
                state = self.state[p]
                if len(state) == 0:
                    state.update(step=0, exp_avg=torch.zeros_like(p.data), exp_avg_sq=torch.zeros_like(p.data))
                beta1, beta2 = group["betas"]
                state["step"] += 1
                state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                step = state["exp_avg"] / state["exp_avg_sq"].sqrt().add(group["eps"])
                step.add_(p.data, alpha=group["weight_decay"])
                weight_norm, norm = p.data.pow(2).sum().sqrt().clamp(0, 10), step.pow(2).sum().sqrt()
                trust = 1.0 if weight_norm == 0 or norm == 0 else (weight_norm / norm).item()
                p.data.add_(step, alpha=-group["lr"] * trust)


model = network()
lion = Lion(model.parameters(), 1e-2, weight_decay=0.1)
train(lion, model)
print(lion)
again, other = Lion(network().parameters(), 1e-2), copy.deepcopy(lion.state_dict())
again.load_state_dict(other)
print(again.param_groups[0]["weight_decay"], [tuple(s["exp_avg"].shape) for s in again.state.values()])

model = network()
sam = SAM(model.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9, rho=0.5)
schedule = torch.optim.lr_scheduler.StepLR(sam, 2, 0.5)
for _ in range(4):

    def closure(model=model):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    loss = closure()
    sam.step(closure)
    schedule.step()
    print(f"SAM {loss.item():.4f} {schedule.get_last_lr()}")

for make in (
    lambda p: Lookahead(torch.optim.Adam(p, lr=0.05)),
    lambda p: LARS(p, 1.0),
    lambda p: Lamb(p, 0.05, weight_decay=0.01),
    lambda p: torch.optim.Adafactor(p, lr=0.1),
):
    model = network()
    train(make(model.parameters()), model)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
averaged = swa_utils.AveragedModel(model)
ema = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
swa = swa_utils.SWALR(optimizer, 0.05, anneal_epochs=2)
for epoch in range(6):
    train(optimizer, model, 1)
    ema.update_parameters(model)
    if epoch > 2:
        averaged.update_parameters(model)
        swa.step()
    else:
        cosine.step()
    print(f"{optimizer.param_groups[0]['lr']:.6f}")
swa_utils.update_bn([x[:8], x[8:]], averaged)
print(averaged(x)[:2], averaged.n_averaged, list(ema.state_dict())[:3])

model = network()
decay = [p for n, p in model.named_parameters() if "bias" not in n]
rest = [p for n, p in model.named_parameters() if "bias" in n]
groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=0.01)
rate = lambda k: k / 3 if k < 3 else 0.5 * (1 + math.cos(math.pi * (k - 3) / 5))  # noqa: E731
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
for _ in range(8):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    schedule.step()
    print(f"{loss.item():.4f} {norm.item():.4f} {schedule.get_last_lr()[0]:.6f}")

rate = torch.tensor(0.1, requires_grad=True)
outer = torch.optim.Adam([rate], lr=0.01)
for _ in range(3):
    point = torch.tensor([2.0, -1.0]).clone()
    inner = torch.optim.SGD([point], lr=rate, differentiable=True)
    for _ in range(2):
        point.grad = point.clone() * torch.tensor([1.0, 3.0])
        inner.step()
    outer.zero_grad()
    loss = (point**2).sum()
    loss.backward()
    outer.step()
    print(f"{loss.item():.4f} {rate.item():.4f} {rate.grad.item():.4f}")
