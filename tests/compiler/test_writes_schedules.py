"""Learning rates that a compiled training step changes: schedulers of every kind, and by hand."""

from __future__ import annotations

import copy
import types

import flambeau as fb
from compiler.scenarios import Case, Table
from compiler.subjects import Training

case = Table()
schedulers = fb.optim.lr_scheduler


def scheduled(name, make, options=None):
    def script(compile, x):
        t = Training(**(options or {}))
        scheduler = make(t.opt)

        def step(x):
            loss = t.backward(x)
            t.opt.step()
            scheduler.step()
            return loss, scheduler.get_last_lr()

        f = compile(step)
        for _ in range(4):
            yield f(x), t.look(), getattr(scheduler, "last_epoch", None)
        t.opt.param_groups[0]["lr"] = 0.5
        yield f(x), t.look()

    script.__name__ = f"{name}_stepped_inside"
    case(script)


scheduled("step_lr", lambda o: schedulers.StepLR(o, 2, 0.5))
scheduled("multi_step_lr", lambda o: schedulers.MultiStepLR(o, [1, 3], 0.5))
scheduled("exponential_lr", lambda o: schedulers.ExponentialLR(o, 0.9))
scheduled("cosine_annealing_lr", lambda o: schedulers.CosineAnnealingLR(o, 3))
scheduled("cosine_warm_restarts", lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2))
scheduled("one_cycle_lr", lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=8), {"momentum": 0.9})
scheduled("cyclic_lr", lambda o: schedulers.CyclicLR(o, 0.01, 0.5, step_size_up=2), {"momentum": 0.9})
scheduled("lambda_lr", lambda o: schedulers.LambdaLR(o, lambda n: 1 / (n + 1)))
scheduled("multiplicative_lr", lambda o: schedulers.MultiplicativeLR(o, lambda n: 0.5))
scheduled("linear_lr", lambda o: schedulers.LinearLR(o, 0.1, total_iters=3))
scheduled("polynomial_lr", lambda o: schedulers.PolynomialLR(o, 4))
scheduled(
    "sequential_lr",
    lambda o: schedulers.SequentialLR(
        o, [schedulers.ConstantLR(o, 0.1, 2), schedulers.ExponentialLR(o, 0.9)], milestones=[2]
    ),
)
scheduled(
    "chained_scheduler",
    lambda o: schedulers.ChainedScheduler([schedulers.ExponentialLR(o, 0.9), schedulers.StepLR(o, 2, 0.5)]),
)
scheduled(
    "adam_with_one_cycle_lr", lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=8), {"optimizer": fb.optim.Adam}
)


@case(may_fall_back="the loss's value decides")
def plateau_stepped_with_the_loss(compile, x):
    t = Training()
    scheduler = schedulers.ReduceLROnPlateau(t.opt, patience=0, factor=0.5)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        scheduler.step(loss.detach())
        return loss

    f = compile(step)
    for k in (1.0, 3.0, 5.0):
        yield f(x * k), t.look(), scheduler.num_bad_epochs


@case
def plateau_stepped_with_a_number(compile, x):
    t = Training()
    scheduler = schedulers.ReduceLROnPlateau(t.opt, patience=0, factor=0.5)

    def step(x, metric):
        loss = t.backward(x)
        t.opt.step()
        scheduler.step(metric)
        return loss

    f = compile(step)
    for metric in (1.0, 2.0, 0.5, 0.7):
        yield f(x, metric), t.look(), scheduler.best, scheduler.num_bad_epochs


@case
def scheduler_inside_every_other_step(compile, x):
    t, state = Training(), types.SimpleNamespace(n=0)
    scheduler = schedulers.ExponentialLR(t.opt, 0.5)

    def step(x):
        state.n += 1
        loss = t.backward(x)
        t.opt.step()
        if state.n % 2 == 0:
            scheduler.step()
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), t.look(), scheduler.last_epoch


@case
def scheduler_loaded_between(compile, x):
    t = Training()
    scheduler = schedulers.StepLR(t.opt, 2, 0.5)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        scheduler.step()
        return loss

    f = compile(step)
    start = copy.deepcopy((scheduler.state_dict(), t.opt.state_dict()))
    yield f(x), t.look()
    yield f(x), t.look()
    scheduler.load_state_dict(start[0]), t.opt.load_state_dict(start[1])
    yield f(x), t.look(), scheduler.last_epoch


@case
def learning_rate_decayed_by_hand(compile, x):
    t = Training(momentum=0.9)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        for g in t.opt.param_groups:
            g["lr"] *= 0.9
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), t.look()


@case
def warm_up_by_hand(compile, x):
    t, state = Training(), types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        lr = 0.1 * min(1.0, state.n / 3)
        for g in t.opt.param_groups:
            g["lr"] = lr
        loss = t.backward(x)
        t.opt.step()
        return loss, lr

    f = compile(step)
    for _ in range(4):
        yield f(x), t.look()


@case
def learning_rate_tensor_decayed(compile, x):
    t = Training(lr=fb.tensor(0.1))

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        t.opt.param_groups[0]["lr"].mul_(0.5)
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look()


@case
def momentum_warm_up(compile, x):
    t = Training(momentum=0.5)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        t.opt.param_groups[0]["momentum"] = min(0.9, t.opt.param_groups[0]["momentum"] + 0.1)
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look()


@case.test
def test_schedules(case: Case) -> None:
    case.check()
