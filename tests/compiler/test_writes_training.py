"""Training steps that keep books: averages, accumulation, trackers, optimizers made inside."""

from __future__ import annotations

import copy
import types

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Training
from flambeau import nn

case = Table()


@case(may_fall_back="an optimizer is made inside")
def optimizer_made_at_the_first_call(compile, x):
    model, state = nn.Linear(3, 1), types.SimpleNamespace(opt=None)

    def step(x):
        if state.opt is None:
            state.opt = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        state.opt.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        state.opt.step()
        return loss

    f = compile(step)
    yield f(x), model.weight
    first = state.opt
    yield f(x), model.weight, state.opt is first, state.opt.state[model.weight]["momentum_buffer"]
    state.opt = None
    yield f(x), model.weight, state.opt is first


@case
def optimizer_made_at_every_call(compile, x):
    model = nn.Linear(3, 1)

    def step(x):
        opt = fb.optim.SGD(model.parameters(), lr=0.1)
        opt.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        opt.step()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), model.weight


@case
def gradient_accumulation(compile, x):
    t, state = Training(), types.SimpleNamespace(n=0)

    def step(x):
        loss = t.model(x).pow(2).mean() / 2
        loss.backward()
        state.n += 1
        if state.n % 2 == 0:
            t.opt.step()
            t.opt.zero_grad()
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), t.look(), t.model.weight.grad, state


@case
def gradient_accumulation_by_an_argument(compile, x):
    t = Training()

    def step(x, i):
        t.model(x).pow(2).mean().backward()
        if (i + 1) % 2 == 0:
            t.opt.step()
            t.opt.zero_grad()

    f = compile(step)
    for i in range(4):
        yield f(x, i), t.look(), t.model.weight.grad


@case
def alternating_generator_and_critic(compile, x):
    a, b, state = Training(), Training(), types.SimpleNamespace(turn=0)

    def step(x):
        state.turn = 1 - state.turn
        t = a if state.turn else b
        loss = t.backward(x)
        t.opt.step()
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), a.look(), b.look()


@case
def moving_average_by_lerp(compile, x):
    t = Training()
    average = copy.deepcopy(t.model)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        with fb.no_grad():
            for e, p in zip(average.parameters(), t.model.parameters(), strict=True):
                e.lerp_(p, 0.1)
        return loss

    f = compile(step)
    for _ in range(2):
        yield f(x), list(average.parameters())
    average.weight.data = fb.zeros(1, 3)
    yield f(x), list(average.parameters())


@case
def moving_average_in_a_dict(compile, x):
    t = Training()
    shadow = {k: v.clone() for k, v in t.model.state_dict().items()}

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        for k, v in t.model.state_dict().items():
            shadow[k] = 0.9 * shadow[k] + 0.1 * v
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), shadow
    shadow.update({k: fb.zeros_like(v) for k, v in shadow.items()})
    yield f(x), shadow


@case(may_fall_back="n_averaged is a tensor, and it decides")
def averaged_model(compile, x):
    t = Training()
    average = fb.optim.swa_utils.AveragedModel(t.model)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        average.update_parameters(t.model)
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), list(average.parameters()), average.n_averaged


@case(may_fall_back="n_averaged is a tensor, and it decides")
def averaged_model_with_decay(compile, x):
    t = Training()
    average = fb.optim.swa_utils.AveragedModel(t.model, multi_avg_fn=fb.optim.swa_utils.get_ema_multi_avg_fn(0.5))

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        average.update_parameters(t.model)
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), list(average.parameters())


@case
def decay_that_warms_up(compile, x):
    t, state = Training(), types.SimpleNamespace(n=0)
    average = copy.deepcopy(t.model)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        state.n += 1
        decay = min(0.99, (1 + state.n) / (10 + state.n))
        with fb.no_grad():
            for e, p in zip(average.parameters(), t.model.parameters(), strict=True):
                e.mul_(decay).add_(p, alpha=1 - decay)
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), list(average.parameters()), state


@case
def running_loss_and_history(compile, x):
    class Meter:
        def __init__(self):
            self.value, self.total, self.count, self.history = 0.0, 0.0, 0, []

        def update(self, value, n):
            self.value = value
            self.total += value * n
            self.count += n
            self.history.append(self.total / self.count)

    t, meter = Training(), Meter()

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        meter.update(loss.detach(), len(x))
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), vars(meter)


@case(may_fall_back=".item() asks for the value")
def history_of_python_floats(compile, x):
    t, history = Training(), []

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        history.append(loss.item())

    f = compile(step)
    for _ in range(3):
        yield f(x), history, t.look()


@case(may_fall_back="the loss's value decides")
def early_stopping_by_the_loss(compile, x):
    t, state = Training(), types.SimpleNamespace(best=float("inf"), waited=0)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        if loss < state.best:
            state.best, state.waited = loss.item(), 0
        else:
            state.waited += 1
        return loss

    f = compile(step)
    for k in (1.0, 3.0, 1.0):
        yield f(x * k), state, t.look()


@case
def early_stopping_without_values(compile, x):
    t, state = Training(), types.SimpleNamespace(best=fb.tensor(float("inf")), waited=fb.tensor(0))

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        better = loss.detach() < state.best
        state.best = fb.where(better, loss.detach(), state.best)
        state.waited = fb.where(better, 0, state.waited + 1)
        return loss

    f = compile(step)
    for k in (1.0, 3.0, 1.0):
        yield f(x * k), state


@case
def loss_scale_kept_as_a_number(compile, x):
    t, state = Training(), types.SimpleNamespace(scale=8.0, good=0)

    def step(x):
        t.opt.zero_grad()
        loss = t.model(x).pow(2).mean()
        (loss * state.scale).backward()
        for p in t.model.parameters():
            p.grad.div_(state.scale)
        t.opt.step()
        state.good += 1
        if state.good == 2:
            state.scale, state.good = state.scale * 2, 0
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), state, t.look()


@case(may_fall_back="whether gradients are finite decides")
def grad_scaler(compile, x):
    t = Training()
    scaler = fb.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)

    def step(x):
        t.opt.zero_grad()
        loss = t.model(x).pow(2).mean()
        scaler.scale(loss).backward()
        scaler.step(t.opt)
        scaler.update()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look(), float(scaler.get_scale())


@case
def freezing_schedule(compile, x):
    t, state = Training(momentum=0.9), types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        t.model.bias.requires_grad_(state.n > 2)
        loss = t.backward(x)
        t.opt.step()
        return loss

    f = compile(step)
    for _ in range(4):
        yield f(x), t.look(), t.model.bias.grad


@case
def group_added_inside(compile, x):
    t, head, state = Training(), nn.Linear(1, 1), types.SimpleNamespace(n=0)

    def step(x):
        state.n += 1
        if state.n == 2:
            t.opt.add_param_group({"params": list(head.parameters()), "lr": 1.0})
        head.zero_grad()
        t.opt.zero_grad()
        loss = head(t.model(x)).pow(2).mean()
        loss.backward()
        t.opt.step()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look(), list(head.parameters())


@case
def custom_optimizer_that_counts(compile, x):
    class Decayed(fb.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})
            self.t = 0

        @fb.no_grad()
        def step(self):
            self.t += 1
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["n"] = state.get("n", 0) + 1
                    state["sum"] = state.get("sum", 0.0) + p.grad
                    p.sub_(state["sum"] * (group["lr"] / self.t / state["n"]))

    t = Training(Decayed)

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        return loss

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look(), t.opt.t, t.opt.state[t.model.weight]


@case
def closure_steps(compile, x):
    t, state = Training(), types.SimpleNamespace(evaluations=0)

    def step(x):
        def closure():
            state.evaluations += 1
            return t.backward(x)

        return t.opt.step(closure)

    f = compile(step)
    for _ in range(3):
        yield f(x), t.look(), state


@case
def whole_epoch_inside(compile, x):
    t, state = Training(), types.SimpleNamespace(epoch=0, losses=[])
    data = [x, x * 2]

    def epoch():
        for batch in data:
            loss = t.backward(batch)
            t.opt.step()
            state.losses.append(loss.detach())
        state.epoch += 1
        return fb.stack(state.losses[-2:]).mean()

    f = compile(epoch)
    yield f(), state, t.look()
    data.append(x * 0.5)
    yield f(), state, t.look()
    data[0] = x * 3
    yield f(), state, t.look()


@case
def several_steps_of_one_optimizer(compile, x):
    t = Training(fb.optim.Adam)

    def step(x):
        for _ in range(3):
            loss = t.backward(x)
            t.opt.step()
        return loss

    f = compile(step)
    for _ in range(2):
        yield f(x), t.look(), t.opt.state[t.model.weight]["step"]


@case
def trainer_with_callbacks(compile, x):
    class Callback:
        def __init__(self):
            self.events = []

        def on_step(self, trainer, loss):
            self.events.append(trainer.n)

    t = Training()
    trainer = types.SimpleNamespace(n=0, callbacks=[Callback()])

    def step(x):
        loss = t.backward(x)
        t.opt.step()
        trainer.n += 1
        for callback in trainer.callbacks:
            callback.on_step(trainer, loss)
        return loss

    f = compile(step)
    for i in range(3):
        yield f(x), [c.events for c in trainer.callbacks], trainer.n
        if i == 1:
            trainer.callbacks.append(Callback())


@case
def own_optimizer_that_counts_with_a_trace_that_is_given_up(compile, x):
    class Counting(fb.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        @fb.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if not state:
                        state.update(m=fb.zeros_like(p), k=0, span=(0, "steps"))
                    state["k"] += 1
                    state["span"] = (state["k"], state["span"][1])
                    state["m"].lerp_(p.grad, 0.1)
                    p.add_(state["m"], alpha=-group["lr"] / state["k"] ** 0.5)

    for options in ({}, {"dynamic": True}):
        table = fb.nn.Parameter(fb.arange(6.0).reshape(3, 2))
        own = Counting([table])

        def step(i, y, table=table, own=own):
            own.zero_grad()
            loss = fb.nn.functional.cross_entropy(table[i], y)
            loss.backward()
            own.step()
            return loss.detach()

        f = compile(step, **options)
        for i, y in (([0, 1], [0, 1]), ([0, 1], [0, 1]), ([0, 1, 2], [0, 1, 1]), ([0, 1], [1, 1])):
            yield f(fb.tensor(i), fb.tensor(y)), table, own.state[table]
        yield attempt(f, fb.tensor([0, 1, 2, 0]), fb.tensor([0, 1, 7, 0])), table.detach() * 1
        yield own.state[table]["k"], f(fb.tensor([0, 2]), fb.tensor([1, 1])), own.state[table]


@case.test
def test_training(case: Case) -> None:
    case.check()
