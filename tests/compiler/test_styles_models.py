"""Kinds of training and of models, as repositories have them: agents, generators, queues, caches, routing, hidden states."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import types
from typing import Any, ClassVar

import flambeau as fb
from compiler.scenarios import Case, Table
from flambeau import nn
from flambeau.nn import functional as F

case = Table()


def weights(*modules):
    return [p for m in modules for p in m.parameters()]


@case
def target_network(compile, x):
    policy, target = nn.Linear(3, 2), nn.Linear(3, 2)
    target.load_state_dict(policy.state_dict())
    agent = types.SimpleNamespace(steps=0, sync_every=2, gamma=0.9, tau=None)
    opt = fb.optim.SGD(policy.parameters(), lr=0.1)

    def learn(x, reward):
        with fb.no_grad():
            goal = reward + agent.gamma * target(x).max()
        loss = F.smooth_l1_loss(policy(x).max(), goal)
        opt.zero_grad()
        loss.backward()
        opt.step()
        agent.steps += 1
        if agent.tau is not None:
            for p, q in zip(target.parameters(), policy.parameters(), strict=True):
                p.data.copy_(agent.tau * q.data + (1 - agent.tau) * p.data)
        elif agent.steps % agent.sync_every == 0:
            target.load_state_dict(policy.state_dict())
        return loss

    f = compile(learn)
    for reward in (1.0, 2.0):
        yield f(x, reward), weights(policy, target), agent
    agent.gamma, agent.tau = 0.5, 0.1
    yield f(x, 3.0), weights(policy, target), agent


@case
def replay_buffer(compile, x):
    class Buffer:
        def __init__(self, size):
            self.data, self.size, self.at = [], size, 0

        def add(self, item):
            if len(self.data) < self.size:
                self.data.append(None)
            self.data[self.at] = item
            self.at = (self.at + 1) % self.size

    Item = collections.namedtuple("Item", "state reward")
    buffer = Buffer(2)

    def act(x, reward):
        buffer.add(Item(x.detach(), reward))
        return fb.stack([item.state * item.reward for item in buffer.data]).mean(0)

    f = compile(act)
    for i in range(4):
        yield f(x * i, float(i)), buffer.at, buffer.data


@case
def epsilon_that_decays(compile, x):
    agent = types.SimpleNamespace(epsilon=1.0, decay=0.5, floor=0.2)

    def act(x):
        q = x * (1 - agent.epsilon) + agent.epsilon / len(x)
        agent.epsilon = max(agent.floor, agent.epsilon * agent.decay)
        return q

    f = compile(act)
    for _ in range(4):
        yield f(x), agent.epsilon


@case
def returns_of_an_episode(compile, x):
    rewards, values = [1.0, 0.0, 2.0], []

    def finish(x):
        total, out = 0.0, []
        for r in reversed(rewards):
            total = r + 0.9 * total
            out.insert(0, total)
        values.append(sum(out))
        rewards.clear()
        return (fb.tensor(out) * x[: len(out)]).sum() if out else x.sum()

    f = compile(finish)
    yield f(x), values, rewards
    rewards.extend([5.0, 1.0])
    yield f(x), values, rewards
    yield f(x), values, rewards


@case
def several_critic_steps_per_generator_step(compile, x):
    maker, critic, state = nn.Linear(3, 3), nn.Linear(3, 1), types.SimpleNamespace(i=0, n_critic=2)
    a, b = fb.optim.SGD(maker.parameters(), lr=0.1), fb.optim.SGD(critic.parameters(), lr=0.1)

    def step(x):
        b.zero_grad()
        (critic(maker(x).detach()) - critic(x)).sum().backward()
        b.step()
        with fb.no_grad():
            for p in critic.parameters():
                p.clamp_(-0.3, 0.3)
        if state.i % state.n_critic == 0:
            a.zero_grad()
            (-critic(maker(x))).sum().backward()
            a.step()
        state.i += 1

    f = compile(step)
    for _ in range(3):
        yield f(x), weights(maker, critic)
    state.n_critic = 1
    yield f(x), weights(maker, critic)


@case(may_fall_back="parameters get other memory")
def exponential_average_class_with_a_shadow(compile, x):
    class EMA:
        def __init__(self, model, decay):
            self.model, self.decay, self.updates = model, decay, 0
            self.shadow, self.backup = {n: p.data.clone() for n, p in model.named_parameters()}, {}

        def update(self):
            self.updates += 1
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            for n, p in self.model.named_parameters():
                self.shadow[n].mul_(decay).add_(p.data, alpha=1 - decay)

        def apply(self):
            for n, p in self.model.named_parameters():
                self.backup[n] = p.data
                p.data = self.shadow[n]

        def restore(self):
            for n, p in self.model.named_parameters():
                p.data = self.backup[n]
            self.backup = {}

    model = nn.Linear(3, 1)
    ema = EMA(model, 0.9)

    def step(x):
        loss = model(x).pow(2).sum()
        for p, g in zip(model.parameters(), fb.autograd.grad(loss, list(model.parameters())), strict=True):
            p.data -= 0.1 * g
        ema.update()
        return loss

    def evaluate(x):
        ema.apply()
        y = model(x)
        ema.restore()
        return y

    f, g = compile(step), compile(evaluate)
    for _ in range(2):
        yield f(x), g(x), weights(model), ema.shadow, ema.updates, ema.backup


@case
def meta_learning_with_fast_weights(compile, x):
    model, cfg = nn.Linear(3, 1), types.SimpleNamespace(inner_steps=1, inner_lr=0.1)
    opt = fb.optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        fast = dict(model.named_parameters())
        for _ in range(cfg.inner_steps):
            loss = fb.func.functional_call(model, fast, (x,)).pow(2).sum()
            grads = fb.autograd.grad(loss, list(fast.values()), create_graph=True)
            fast = {n: p - cfg.inner_lr * g for (n, p), g in zip(fast.items(), grads, strict=True)}
        outer = fb.func.functional_call(model, fast, (x * 2,)).pow(2).sum()
        opt.zero_grad()
        outer.backward()
        opt.step()
        return outer

    f = compile(step)
    yield f(x), weights(model)
    cfg.inner_steps = 2
    yield f(x), weights(model)
    cfg.inner_lr = 0.01
    yield f(x), weights(model)


@case
def distillation_with_a_teacher_that_moves(compile, x):
    student, cfg = nn.Linear(3, 3), types.SimpleNamespace(temperature=2.0, alpha=0.5)
    teachers = [copy.deepcopy(student).requires_grad_(False), nn.Linear(3, 3).requires_grad_(False)]

    def step(x):
        student.zero_grad()
        with fb.no_grad():
            goal = fb.stack([(t(x) / cfg.temperature).softmax(-1) for t in teachers]).mean(0)
        out = (student(x) / cfg.temperature).log_softmax(-1)
        loss = F.kl_div(out, goal, reduction="sum") * cfg.alpha * cfg.temperature**2
        loss.backward()
        return loss

    f = compile(step)
    yield f(x), student.weight.grad
    cfg.temperature = 4.0
    yield f(x), student.weight.grad
    teachers.pop()
    yield f(x), student.weight.grad


@case
def contrastive_queue(compile, x):
    class Queue(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("queue", fb.zeros(4, 3))
            self.register_buffer("pointer", fb.zeros(1, dtype=fb.long))
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            q = F.normalize(self.fc(x), dim=0)
            logits = self.queue.clone().detach() @ q
            self.queue[self.pointer] = q.detach()
            self.pointer[0] = (self.pointer[0] + 1) % 4
            return logits.logsumexp(0)

    m = Queue()
    f = compile(m)
    for k in (1.0, 2.0, 3.0):
        f(x * k).backward()
        yield m.queue, m.pointer, m.fc.weight.grad
    m.queue = fb.ones(4, 3)
    yield f(x), m.queue, m.pointer


@case
def rotary_cache_of_a_class(compile, x):
    class Rotary(nn.Module):
        cache: ClassVar[dict[int, Any]] = {}

        def __init__(self, base):
            super().__init__()
            self.base = base

        def angles(self, n):
            key = (n, self.base)
            if key not in self.cache:
                self.cache[key] = fb.arange(n) / self.base
            return self.cache[key]

        def forward(self, x):
            return x * self.angles(len(x)).cos()

    m = Rotary(10.0)
    f = compile(m)
    yield f(x), sorted(Rotary.cache)
    yield f(x[:2]), sorted(Rotary.cache)
    m.base = 20.0
    yield f(x), sorted(Rotary.cache)
    Rotary.cache[3, 20.0] = fb.zeros(3)
    yield f(x)


@case
def diffusion_schedule(compile, x):
    class Diffusion(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("betas", fb.linspace(0.1, 0.4, 4))
            self.net, self.t_list = nn.Linear(3, 3), [0, 2]

        def q_sample(self, x, t):
            a = (1 - self.betas).cumprod(0)[t]
            return a.sqrt() * x + (1 - a).sqrt()

        def forward(self, x):
            return sum(F.mse_loss(self.net(self.q_sample(x, t)), x) for t in self.t_list)

    m = Diffusion()
    f = compile(m)
    yield f(x)
    m.t_list[0] = 3
    yield f(x)
    m.betas = fb.linspace(0.01, 0.02, 4)
    yield f(x)


@case
def wrapper_module_that_forwards_attributes(compile, x):
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.module, name)

        def forward(self, x):
            return self.module(x) * self.scale

    inner = nn.Linear(3, 2)
    inner.scale = 1.0
    m = Wrapper(inner)
    f = compile(m)
    yield f(x)
    inner.scale = 3.0
    yield f(x)
    m.scale = 5.0
    yield f(x)
    m.module = nn.Linear(3, 2)
    yield f(x)


@case
def modules_found_by_their_kind(compile, x):
    m = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU())
    x = fb.arange(6.0).view(2, 3)

    def step(x):
        for module in m.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = module.momentum * 0.5
        return m(x)

    f = compile(step)
    yield f(x), m[1].momentum, m[1].running_mean
    yield f(x), m[1].momentum, m[1].running_mean
    m.append(nn.BatchNorm1d(3))
    yield f(x), m[1].momentum, m[3].momentum


@case
def apply_a_function_to_all(compile, x):
    m, cfg = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)), types.SimpleNamespace(value=0.1)

    def fill(module):
        if isinstance(module, nn.Linear):
            module.weight.data.fill_(cfg.value)

    f = compile(lambda x: m.apply(fill)(x))
    yield f(x), weights(m)
    cfg.value = 0.2
    yield f(x), weights(m)


@case
def stochastic_depth_by_python(compile, x):
    m = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])
    keep = [True, True, True]

    def step(x):
        for i, layer in enumerate(m):
            if keep[i]:
                x = x + layer(x)
        return x

    f = compile(step)
    yield f(x)
    keep[1] = False
    yield f(x)
    keep[:] = [False] * 3
    yield f(x)


@case
def routing_by_names(compile, x):
    experts = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Tanh()})
    route = types.SimpleNamespace(order=["a", "b"], counts=collections.Counter())

    def step(x):
        for name in route.order:
            route.counts[name] += 1
            x = experts[name](x)
        return x

    f = compile(step)
    yield f(x), route.counts
    route.order = ["b", "a", "b"]
    yield f(x), route.counts
    route.order.reverse()
    yield f(x), route.counts


@case
def state_space_hidden_tuple(compile, x):
    cell, state = nn.Linear(6, 6), types.SimpleNamespace(hidden=None)

    def step(x):
        h, c = state.hidden if state.hidden is not None else (fb.zeros(3), fb.zeros(3))
        gates = cell(fb.cat([x, h])).chunk(2)
        c = gates[0].sigmoid() * c + gates[1].tanh()
        h = c.tanh()
        state.hidden = tuple(v.detach() for v in (h, c))
        return h.sum()

    f = compile(step)
    for _ in range(3):
        f(x).backward()
        yield state.hidden, cell.weight.grad
    state.hidden = None
    yield f(x), state.hidden


@case
def beam_of_hypotheses(compile, x):
    @dataclasses.dataclass
    class Hypothesis:
        score: Any
        tokens: list[int]

    beam = [Hypothesis(fb.zeros(()), [0])]

    def extend(x, token):
        for h in list(beam):
            beam.append(Hypothesis(h.score + x[token], [*h.tokens, token]))
        return fb.stack([h.score for h in beam])

    f = compile(extend)
    for token in (0, 2):
        yield f(x, token), [(h.score, h.tokens) for h in beam]
    del beam[1:]
    yield f(x, 1), [(h.score, h.tokens) for h in beam]


@case
def loss_weights_learned_and_scheduled(compile, x):
    log_vars, schedule = nn.Parameter(fb.zeros(2)), {"kl": functools.partial(min, 1.0), "step": 0}
    opt = fb.optim.SGD([log_vars], lr=0.1)

    def step(x):
        schedule["step"] += 1
        beta = schedule["kl"](schedule["step"] / 4)
        losses = [x.pow(2).mean(), x.abs().mean() * beta]
        total = sum((-v).exp() * loss + v for v, loss in zip(log_vars, losses, strict=True))
        opt.zero_grad()
        total.backward()
        opt.step()
        return total, beta

    f = compile(step)
    for _ in range(3):
        yield f(x), log_vars
    schedule["kl"] = lambda k: 0.0
    yield f(x), log_vars


@case
def two_compiled_parts_share_state(compile, x):
    model, state = nn.Linear(3, 1), types.SimpleNamespace(n=0, losses=[])
    opt = fb.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def backward(x):
        state.n += 1
        loss = model(x).pow(2).sum()
        loss.backward()
        state.losses.append(loss.detach())
        return loss

    @compile
    def update():
        opt.step()
        opt.zero_grad()
        state.n *= 10

    for _ in range(2):
        yield backward(x), state
        update()
        yield weights(model), state


@case
def compiled_in_compiled(compile, x):
    state = types.SimpleNamespace(inner=0, outer=0)

    @compile
    def inner(x):
        state.inner += 1
        return x * state.inner

    @compile
    def outer(x):
        state.outer += 1
        return inner(x) + inner(x) + state.outer

    for _ in range(2):
        yield outer(x), inner(x), state


@case.test
def test_model_styles(case: Case) -> None:
    case.check()
