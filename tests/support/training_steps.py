"""Training steps of many kinds. Each scenario makes, from one seed, a step function and a look at everything it changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F

Scenario = Callable[[], tuple[Callable[..., Any], Callable[[], dict[str, Any]], Callable[[int], Any]]]
scenarios: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    scenarios[function.__name__] = function
    return function


def batch(i: int, n: int = 6, width: int = 5) -> tuple[Any, Any]:
    generator = fb.Generator().manual_seed(1000 + i)
    return fb.randn(n, width, generator=generator), fb.randint(0, 3, (n,), generator=generator)


def mlp(*extra: Any, width: int = 5) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 8), *extra, nn.ReLU(), nn.Linear(8, 3))


def look(*models: nn.Module, optimizers: Any = ()) -> Callable[[], dict[str, Any]]:
    """Everything that a step changes: parameters, buffers, gradients, optimizers' state."""

    def state() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for n, model in enumerate(models):
            for key, value in model.state_dict().items():
                found[f"{n}.{key}"] = value.clone()
            for key, param in model.named_parameters():
                found[f"{n}.{key}.grad"] = None if param.grad is None else param.grad.clone()
        for n, optimizer in enumerate(optimizers):
            for index, held in optimizer.state_dict()["state"].items():
                found.update({f"optimizer {n}.{index}.{k}": v for k, v in held.items()})
        found["random state"] = fb.get_rng_state()
        return copy.deepcopy(found)

    return state


def plain(model: nn.Module, optimizer: Any) -> Callable[..., Any]:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _with_optimizer(make: Callable[..., Any], *extra: Any) -> Any:
    model = mlp(*extra)
    optimizer = make(model.parameters())
    return plain(model, optimizer), look(model, optimizers=[optimizer]), batch


@scenario
def sgd_momentum() -> Any:
    return _with_optimizer(lambda p: fb.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01))


@scenario
def adamw() -> Any:
    return _with_optimizer(lambda p: fb.optim.AdamW(p, lr=0.01))


@scenario
def rmsprop() -> Any:
    return _with_optimizer(lambda p: fb.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True))


@scenario
def dropout() -> Any:
    return _with_optimizer(lambda p: fb.optim.Adam(p, lr=0.01), nn.Dropout(0.4))


@scenario
def batch_norm() -> Any:
    return _with_optimizer(lambda p: fb.optim.SGD(p, lr=0.1), nn.BatchNorm1d(8))


@scenario
def layer_norm_without_optimizer() -> Any:
    model = mlp(nn.LayerNorm(8))

    def step(x: Any, y: Any) -> Any:
        for p in model.parameters():
            p.grad = None
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with fb.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
        return loss

    return step, look(model), batch


@scenario
def lenet() -> Any:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    optimizer = fb.optim.Adam(model.parameters(), lr=0.01)

    def images(i: int) -> tuple[Any, Any]:
        x, y = batch(i, 4, 64)
        return x.reshape(4, 1, 8, 8), y

    return plain(model, optimizer), look(model, optimizers=[optimizer]), images


@scenario
def residual() -> Any:
    from flambeau.vision.models.resnet import BasicBlock

    down = nn.Sequential(nn.Conv2d(16, 32, 1, 2, bias=False), nn.BatchNorm2d(32))
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        BasicBlock(16, 16), BasicBlock(16, 32, 2, down), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    optimizer = fb.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def images(i: int) -> tuple[Any, Any]:
        x, y = batch(i, 8, 256)
        return x.reshape(8, 1, 16, 16), y

    return plain(model, optimizer), look(model, optimizers=[optimizer]), images


@scenario
def weight_sharing() -> Any:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.head(self.b(F.relu(self.a(x))))

    model = Tied()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    return plain(model, optimizer), look(model, optimizers=[optimizer]), batch


@scenario
def in_place_edits_and_views() -> Any:
    class Edits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
            self.register_buffer("seen", fb.zeros(2, 8))

        def forward(self, x: Any) -> Any:
            h = self.layer(x).clone()
            h[:, :2] *= 2
            h.view(-1)[::3].add_(0.5)
            h.t()[4] = x[:, 0]
            with fb.no_grad():
                self.seen[0].add_(h.detach().mean(0))
                self.seen[1, 2:4] = h.detach()[0, :2]
            return self.head(F.relu_(h))

    model = Edits()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
    return plain(model, optimizer), look(model, optimizers=[optimizer]), batch


@scenario
def module_hooks() -> Any:
    model = mlp()
    model[0].hidden = fb.zeros(6, 8)

    def scale_input(module: Any, args: Any) -> Any:
        return (args[0] * 0.5,)

    def keep(module: Any, args: Any, output: Any) -> Any:
        module.hidden = output.detach()
        return output + 0.1

    def double_input_gradient(module: Any, grad_input: Any, grad_output: Any) -> Any:
        return tuple(None if g is None else 2 * g for g in grad_input)

    def before(module: Any, grad_output: Any) -> Any:
        return tuple(g * 1.5 for g in grad_output)

    model[0].register_forward_pre_hook(scale_input)
    model[0].register_forward_hook(keep)
    model[2].register_full_backward_hook(double_input_gradient)
    model[2].register_full_backward_pre_hook(before)
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
    found = look(model, optimizers=[optimizer])
    return plain(model, optimizer), lambda: {**found(), "hidden": model[0].hidden.clone()}, batch


@scenario
def tensor_hooks() -> Any:
    model = mlp()
    counts: dict[str, Any] = {"norm": fb.zeros(())}
    model[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01))
    model[2].bias.register_post_accumulate_grad_hook(lambda p: [p.grad.mul_(2)].clear())
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        hidden = model[0](x)
        hidden.register_hook(lambda g: g * 0.5)
        hidden.retain_grad()
        loss = F.cross_entropy(model[2](model[1](hidden)), y)
        loss.backward()
        counts["norm"].copy_(hidden.grad.norm())
        optimizer.step()
        return loss, hidden.grad

    found = look(model, optimizers=[optimizer])
    return step, lambda: {**found(), "norm": counts["norm"].clone()}, batch


@scenario
def gradient_clipping() -> Any:
    model = mlp()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.5)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(10 * x), y)
        loss.backward()
        total = nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        nn.utils.clip_grad_value_(model[2].parameters(), 0.05)
        optimizer.step()
        return loss, total

    return step, look(model, optimizers=[optimizer]), batch


@scenario
def frozen_parts() -> Any:
    model = mlp(nn.BatchNorm1d(8))
    for p in model[0].parameters():
        p.requires_grad_(False)
    model[1].eval()
    optimizer = fb.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    return plain(model, optimizer), look(model, optimizers=[optimizer]), batch


@scenario
def gan() -> Any:
    maker, judge = (
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5)),
        nn.Sequential(nn.Linear(5, 8), nn.Linear(8, 1)),
    )
    makers, judges = fb.optim.Adam(maker.parameters(), lr=0.01), fb.optim.SGD(judge.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        noise = fb.randn(x.shape[0], 4)
        judges.zero_grad()
        fake = maker(noise)
        real_loss = F.binary_cross_entropy_with_logits(judge(x), fb.ones(x.shape[0], 1))
        fake_loss = F.binary_cross_entropy_with_logits(judge(fake.detach()), fb.zeros(x.shape[0], 1))
        (real_loss + fake_loss).backward()
        judges.step()
        for p in judge.parameters():
            p.requires_grad_(False)
        makers.zero_grad()
        loss = F.binary_cross_entropy_with_logits(judge(fake), fb.ones(x.shape[0], 1))
        loss.backward()
        makers.step()
        for p in judge.parameters():
            p.requires_grad_(True)
        return real_loss, fake_loss, loss

    return step, look(maker, judge, optimizers=[makers, judges]), batch


@scenario
def ema_copy() -> Any:
    model = mlp(nn.BatchNorm1d(8))
    average = copy.deepcopy(model)
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with fb.no_grad():
            for a, p in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(p, 0.1)
            for a, b in zip(average.buffers(), model.buffers(), strict=True):
                a.copy_(b)
        return loss

    return step, look(model, average, optimizers=[optimizer]), batch


@scenario
def custom_function() -> Any:
    class Square(fb.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x * g  # not the derivative, so that a wrong one would show

    model = mlp()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model[2](Square.apply(model[0](x))), y)
        loss.backward(retain_graph=True)
        loss.backward()
        optimizer.step()
        return loss

    return step, look(model, optimizers=[optimizer]), batch


@scenario
def gradient_penalty() -> Any:
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = fb.optim.SGD(model.parameters(), lr=0.05)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        x = x.clone().requires_grad_()
        out = model(x).sum()
        (slope,) = fb.autograd.grad(out, x, create_graph=True)
        loss = out + ((slope.norm(dim=1) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step, look(model, optimizers=[optimizer]), batch


@scenario
def closure() -> Any:
    model = mlp()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        def evaluate() -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        return optimizer.step(evaluate)

    return step, look(model, optimizers=[optimizer]), batch


@scenario
def random_numbers() -> Any:
    model = mlp()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
    noise = fb.zeros(6, 5)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        noise.normal_(0, 0.1)
        order = fb.randperm(x.shape[0])
        mask = fb.bernoulli(fb.full((6, 5), 0.8))
        mask.bernoulli_(0.5 * mask)
        shift = fb.randint(0, 3, (1,)) + fb.rand(1) + fb.randn_like(x) + fb.normal(x, 0.1) + fb.normal(noise, x.abs())
        loss = F.cross_entropy(model((x * mask + noise + 0.01 * shift)[order]), y[order])
        loss.backward()
        optimizer.step()
        return loss, order

    return step, look(model, optimizers=[optimizer]), batch


@scenario
def replaced_buffer_and_attribute() -> Any:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(8, 3), nn.Linear(5, 5)
            self.register_buffer("mean", fb.zeros(5))
            self.hidden = fb.zeros(6, 3)

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            out = self.layer(fb.cat([self.head(x - self.mean), self.hidden], 1))
            self.hidden = out.detach()
            return out

    model = Recurrent()
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
    found = look(model, optimizers=[optimizer])
    return plain(model, optimizer), lambda: {**found(), "hidden": model.hidden.clone()}, batch
