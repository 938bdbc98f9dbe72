"""Training loops in the styles of many repositories: learners, callbacks, meters, own optimizers."""

from __future__ import annotations

import collections
import math
import types
from typing import Any

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn
from flambeau.nn import functional as F

case = Table()

WARMUP, TOTAL, LR = 2, 6, 0.1


def get_lr(it):
    if it < WARMUP:
        return LR * (it + 1) / WARMUP
    ratio = (it - WARMUP) / (TOTAL - WARMUP)
    return 0.01 + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (LR - 0.01)


def weights(*modules):
    return [p for m in modules for p in m.parameters()]


# --------------------------------------------------------------------------------------- loops and trainers


@case
def learning_rate_by_a_function_of_globals(compile, x):
    global WARMUP
    WARMUP = 2
    model, state = nn.Linear(3, 1), types.SimpleNamespace(it=0)
    opt = fb.optim.AdamW(model.parameters(), lr=LR)

    def step(x):
        lr = get_lr(state.it)
        for group in opt.param_groups:
            group["lr"] = lr
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        opt.zero_grad(set_to_none=True)
        state.it += 1
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), weights(model), opt.param_groups[0]["lr"]
    WARMUP = 4
    yield f(x), weights(model), opt.param_groups[0]["lr"]


@case
def lightning_style_module(compile, x):
    class Lit(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.logged = nn.Linear(3, 1), {}
            self.hparams = types.SimpleNamespace(lr=0.1, scale=1.0)
            self.trainer = types.SimpleNamespace(global_step=0, current_epoch=0)

        @property
        def global_step(self):
            return self.trainer.global_step

        def log(self, name, value):
            self.logged[name] = value

        def training_step(self, batch, batch_idx):
            loss = self.net(batch).pow(2).sum() * self.hparams.scale
            self.log("loss", loss.detach())
            self.log("step", self.global_step)
            return loss

    lit = Lit()
    opt = fb.optim.SGD(lit.parameters(), lr=lit.hparams.lr)

    def fit(batch, batch_idx):
        loss = lit.training_step(batch, batch_idx)
        opt.zero_grad()
        loss.backward()
        opt.step()
        lit.trainer.global_step += 1

    f = compile(fit)
    for i in range(3):
        yield f(x, i), lit.logged, weights(lit)
    lit.hparams.scale = 2.0
    yield f(x, 0), lit.logged, weights(lit)


@case
def learner_with_events_by_name(compile, x):
    class Callback:
        order = 0

    class Meter(Callback):
        def __init__(self):
            self.losses = []

        def after_loss(self, learner):
            self.losses.append(learner.loss.detach())

    class Halver(Callback):
        def before_backward(self, learner):
            learner.loss = learner.loss / 2

    class Learner:
        def __init__(self):
            self.model = nn.Linear(3, 1)
            self.opt = fb.optim.SGD(self.model.parameters(), lr=0.1)
            self.callbacks = [Meter()]

        def __call__(self, name):
            for callback in sorted(self.callbacks, key=lambda c: c.order):
                getattr(callback, name, lambda learner: None)(self)

        def one_batch(self, x):
            self.loss = self.model(x).pow(2).sum()
            self("after_loss")
            self("before_backward")
            self.loss.backward()
            self.opt.step()
            self.opt.zero_grad()

    learner = Learner()
    f = compile(learner.one_batch)
    yield f(x), learner.callbacks[0].losses, weights(learner.model)
    learner.callbacks.append(Halver())
    yield f(x), learner.callbacks[0].losses, weights(learner.model), learner.loss
    learner.callbacks[0].order = 5
    yield f(x), learner.callbacks[0].losses, weights(learner.model)


@case
def model_output_class(compile, x):
    class ModelOutput(collections.OrderedDict):
        def __getattr__(self, name):
            return self[name]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.config = nn.Linear(3, 2), types.SimpleNamespace(output_hidden_states=False)

        def forward(self, x, labels=None):
            h = self.fc(x)
            out = ModelOutput(logits=h.softmax(-1))
            if labels is not None:
                out["loss"] = F.cross_entropy(h, labels)
            if self.config.output_hidden_states:
                out["hidden"] = (x, h)
            return out

    model = Model()
    f = compile(model)
    yield f(x), type(f(x)).__name__
    out = f(x, labels=fb.tensor(1))
    out.loss.backward()
    yield out, model.fc.weight.grad
    model.config.output_hidden_states = True
    yield f(x)


@case
def metrics_in_nested_default_dicts(compile, x):
    metrics: Any = collections.defaultdict(lambda: collections.defaultdict(list))

    def step(x, split, epoch):
        loss = x.pow(2).mean()
        metrics[split][epoch].append(loss)
        return loss

    f = compile(step)
    for split, epoch in (("train", 0), ("train", 0), ("val", 0), ("train", 1)):
        yield f(x, split, epoch), {k: dict(v) for k, v in metrics.items()}


@case
def early_stopping_on_a_schedule_of_numbers(compile, x):
    class Stopper:
        def __init__(self, patience):
            self.patience, self.best, self.bad, self.stopped = patience, None, 0, False

        def __call__(self, value):
            if self.best is None or value < self.best - 1e-3:
                self.best, self.bad = value, 0
            else:
                self.bad += 1
                self.stopped = self.bad >= self.patience
            return self.stopped

    stopper = Stopper(2)
    f = compile(lambda x, value: (x * stopper.bad, stopper(value)))
    for value in (1.0, 0.5, 0.6, 0.7):
        yield f(x, value), vars(stopper)


@case
def progress_bar_object(compile, x):
    class Bar:
        def __init__(self, total):
            self.n, self.total, self.postfix = 0, total, {}

        def update(self, n=1):
            self.n += n

        def set_postfix(self, **values):
            self.postfix = values

        @property
        def fraction(self):
            return self.n / self.total

    bar = Bar(4)

    def step(x):
        bar.update()
        bar.set_postfix(loss=x.mean(), left=bar.total - bar.n)
        return x * (1 - bar.fraction)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), vars(bar)


@case
def curriculum(compile, x):
    state = types.SimpleNamespace(length=1, seen=0)

    def step(x):
        y = x[: state.length].sum()
        state.seen += state.length
        if state.seen >= 2:
            state.length = min(state.length + 1, len(x))
        return y

    f = compile(step)
    for _ in range(4):
        yield f(x), state


@case
def checkpoint_of_the_best(compile, x):
    model, best = nn.Linear(3, 1), {"metric": None, "state": None, "step": -1}
    state = types.SimpleNamespace(step=0)

    def step(x, metric):
        with fb.no_grad():
            for p in model.parameters():
                p.mul_(0.5)
        if best["metric"] is None or metric > best["metric"]:
            best.update(metric=metric, state={k: v.clone() for k, v in model.state_dict().items()}, step=state.step)
        state.step += 1
        return model(x)

    f = compile(step)
    for metric in (0.1, 0.5, 0.3, 0.7):
        yield f(x, metric), best


@case
def dictionary_of_optimizers(compile, x):
    nets = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 1)})
    opts = {k: fb.optim.SGD(m.parameters(), lr=0.1 * (i + 1)) for i, (k, m) in enumerate(nets.items())}

    def step(x):
        loss = nets["b"](fb.relu(nets["a"](x))).pow(2).sum()
        for opt in opts.values():
            opt.zero_grad()
        loss.backward()
        for opt in opts.values():
            opt.step()
        return loss

    f = compile(step)
    yield f(x), weights(nets)
    opts["b"].param_groups[0]["lr"] = 0.5
    yield f(x), weights(nets)
    del opts["a"]
    yield f(x), weights(nets)


# ------------------------------------------------------------------------------------------ own optimizers


@case(may_fall_back="parameters get other memory")
def sharpness_aware_minimization(compile, x):
    class SAM(fb.optim.Optimizer):
        def __init__(self, params, base, rho, **options):
            super().__init__(params, {"rho": rho, **options})
            self.base = base(self.param_groups, **options)
            self.param_groups = self.base.param_groups

        @fb.no_grad()
        def first_step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["old"] = p.data.clone()
                    p.add_(p.grad * group["rho"])
            self.zero_grad()

        @fb.no_grad()
        def second_step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data = self.state[p]["old"]
            self.base.step()
            self.zero_grad()

    model = nn.Linear(3, 1)
    opt = SAM(model.parameters(), fb.optim.SGD, rho=0.05, lr=0.1)

    def step(x):
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.first_step()
        model(x).pow(2).sum().backward()
        opt.second_step()
        return loss

    f = compile(step)
    for i in range(3):
        yield f(x), weights(model)
        opt.param_groups[0]["rho"] = 0.05 + i


@case
def lookahead(compile, x):
    class Lookahead:
        def __init__(self, base, k, alpha):
            self.base, self.k, self.alpha, self.count = base, k, alpha, 0
            self.slow = [[p.detach().clone() for p in g["params"]] for g in base.param_groups]

        @fb.no_grad()
        def step(self):
            self.base.step()
            self.count += 1
            if self.count % self.k == 0:
                for group, slow in zip(self.base.param_groups, self.slow, strict=True):
                    for p, s in zip(group["params"], slow, strict=True):
                        s.add_(p - s, alpha=self.alpha)
                        p.copy_(s)

    model = nn.Linear(3, 1)
    opt = Lookahead(fb.optim.SGD(model.parameters(), lr=0.1), k=2, alpha=0.5)

    def step(x):
        opt.base.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(step)
    for _ in range(4):
        yield f(x), weights(model), opt.slow, opt.count


@case
def optimizer_with_warm_restart_counters_in_its_groups(compile, x):
    class Scheduled(fb.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1, "k": 0, "weight_sum": 0.0})

        @fb.no_grad()
        def step(self):
            for group in self.param_groups:
                group["k"] += 1
                weight = group["lr"] ** 2 * group["k"]
                group["weight_sum"] += weight
                for p in group["params"]:
                    z = self.state[p].setdefault("z", p.clone())
                    z.sub_(p.grad, alpha=group["lr"])
                    p.lerp_(z, weight / group["weight_sum"])

    model = nn.Linear(3, 1)
    opt = Scheduled(model.parameters())

    def step(x):
        opt.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(step)
    for _ in range(3):
        yield f(x), weights(model), opt.param_groups[0]["k"], opt.param_groups[0]["weight_sum"]


@case
def optimizer_that_keeps_moments_by_name(compile, x):
    model = nn.Linear(3, 1)
    m = {n: fb.zeros_like(p) for n, p in model.named_parameters()}
    v = {n: fb.zeros_like(p) for n, p in model.named_parameters()}
    hyper = {"lr": 0.1, "t": 0, "betas": (0.9, 0.99)}

    def step(x):
        model.zero_grad()
        model(x).pow(2).sum().backward()
        hyper["t"] += 1
        b1, b2 = hyper["betas"]
        with fb.no_grad():
            for n, p in model.named_parameters():
                m[n] = b1 * m[n] + (1 - b1) * p.grad
                v[n] = b2 * v[n] + (1 - b2) * p.grad**2
                p -= hyper["lr"] * (m[n] / (1 - b1 ** hyper["t"])) / ((v[n] / (1 - b2 ** hyper["t"])).sqrt() + 1e-8)

    f = compile(step)
    yield f(x), weights(model), m, hyper
    yield f(x), weights(model), v, hyper
    hyper["betas"] = (0.5, 0.9)
    yield f(x), weights(model), m, hyper


@case
def per_parameter_settings_as_attributes(compile, x):
    model = nn.Linear(3, 1)
    model.weight.lr_scale, model.bias.lr_scale = 1.0, 0.0

    def step(x):
        model.zero_grad()
        model(x).pow(2).sum().backward()
        with fb.no_grad():
            for p in model.parameters():
                p.updates = getattr(p, "updates", 0) + 1
                p.sub_(p.grad * 0.1 * p.lr_scale / p.updates)

    f = compile(step)
    yield f(x), weights(model), model.weight.updates
    model.bias.lr_scale = 2.0
    yield f(x), weights(model), model.weight.updates


@case
def zero_redundancy_of_words(compile, x):
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    no_decay = ["bias", "1."]
    groups = [
        {"params": [p for n, p in model.named_parameters() if not any(w in n for w in no_decay)], "weight_decay": 0.1},
        {"params": [p for n, p in model.named_parameters() if any(w in n for w in no_decay)], "weight_decay": 0.0},
    ]
    opt = fb.optim.AdamW(groups, lr=0.1)

    def step(x):
        opt.zero_grad()
        reg = sum(p.abs().sum() for n, p in model.named_parameters() if not any(w in n for w in no_decay))
        (model(x).pow(2).sum() + 0.1 * reg).backward()
        opt.step()

    f = compile(step)
    yield f(x), weights(model)
    no_decay.append("0.")
    opt.param_groups[0]["weight_decay"] = 0.5
    yield f(x), weights(model)


@case.test
def test_training_styles(case: Case) -> None:
    case.check()
