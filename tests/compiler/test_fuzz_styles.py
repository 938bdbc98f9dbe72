"""Programs put together at random from the statements of trainers: what a step does, and what is changed between its calls.

Each seed takes some statements of each list and gives the source of one script (shown when it fails). All of them work on one rich
state: a model with hooks, buffers, dropout and a class attribute, an optimizer and its schedule, windows, records, closures.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import random
import types
from typing import Any

import pytest

import flambeau as fb
from compiler.scenarios import Case, attempt
from flambeau import nn
from flambeau.nn import functional as F


@dataclasses.dataclass
class Config:
    scale: float = 1.0
    best: Any = None
    sizes: tuple[int, ...] = (1, 2)
    log: list[Any] = dataclasses.field(default_factory=list)


class Inner(nn.Module):
    power = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", fb.zeros(3))
        self.linear = nn.Linear(3, 3)
        self.last: Any = None
        self.calls, self._gain = 0, 1.0

    @property
    def gain(self) -> float:
        return self._gain * self.power

    @gain.setter
    def gain(self, value: float) -> None:
        self._gain = value + 0.5

    def forward(self, x: Any) -> Any:
        self.calls += 1
        if self.training:
            with fb.no_grad():
                self.mean = 0.5 * self.mean + 0.5 * x
        y = self.linear(x) * self.gain + self.mean
        if self.last is not None:
            y = y + self.last
        self.last = y.detach()
        return y


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Tanh()])
        self.drop = nn.Dropout(0.25)
        self.acts: dict[str, Any] = {}
        self.pair = ([1.0], {"k": 2})
        self.window: collections.deque[Any] = collections.deque(maxlen=3)

    def forward(self, x: Any) -> Any:
        x = self.inner(x)
        for block in self.blocks:
            x = block(x)
        return self.drop(x)


def state() -> types.SimpleNamespace:
    """All that the statements work on."""
    s = types.SimpleNamespace()
    s.model = Model()
    s.opt = fb.optim.SGD(s.model.parameters(), lr=0.1, momentum=0.5)
    s.sched = fb.optim.lr_scheduler.StepLR(s.opt, 2, 0.5)
    s.cfg = Config()
    s.n, s.k, s.flag, s.name = 0, 1.0, True, "a"
    s.window, s.rows, s.table = collections.deque(maxlen=2), [fb.zeros(3), fb.ones(3)], {"a": 1.0}
    s.h, s.w = (fb.zeros(3), fb.ones(3)), fb.ones(3, requires_grad=True)
    s.prev = s.h[0]
    s.counts, s.seen = collections.Counter(), set()
    s.part = functools.partial(lambda x, k, t: x * k + t["a"], k=2.0, t=s.table)
    s.handles = [s.model.blocks[0].register_forward_hook(lambda m, i, o: s.model.acts.__setitem__("o", o))]
    return s


STEP = r"""
y = s.model(y)
y = s.model.inner(y) * 0.5
loss = (s.model(y) ** 2).sum(); s.opt.zero_grad(); loss.backward(); s.opt.step(); out.append(loss)
loss = (s.w * y).sum(); loss.backward(); out.append(s.w.grad)
s.sched.step()
s.n += 1; y = y * s.n
s.n += 1; y = y if s.n % 2 else -y
s.k = s.k * 0.5; y = y + s.k
y = y * math.cos(s.n) + math.sqrt(abs(s.k))
s.cfg.scale = s.cfg.scale * 0.9; y = y * s.cfg.scale
s.cfg.best = y if s.cfg.best is None else fb.maximum(s.cfg.best, y)
s.cfg.log.append(len(s.cfg.log)); y = y * sum(s.cfg.sizes)
s.cfg = dataclasses.replace(s.cfg, scale=s.cfg.scale + 1)
s.window.append(y); y = fb.stack(list(s.window)).mean(0)
s.rows = s.rows[1:] + [y]; y = s.rows[0] + s.rows[-1]
s.rows[0] = s.rows[0] * 0.5 + y; y = y + s.rows[-1]
s.rows[-1] = s.rows[0]; y = y + s.rows[1]
s.h = (s.h[0] + y, s.h[1] * 0.5); y = y + s.h[0] - s.h[1]
a, b = s.h; s.h = (b, a); y = y + a
y = y + s.prev; s.prev = y.detach()
y = y + 1 if s.prev is s.h[0] else y - 1
s.prev = x
x.mul_(0.5)
s.prev.add_(1); y = y + s.h[0]
y = y + (5 if x is s.prev else 7)
s.table["a"] += 0.5; y = s.part(y)
s.table.setdefault("b", y); y = y + s.table["b"]
y = y + len(s.table) + sum(1 for v in s.rows if v is not None)
s.counts["c"] += 1; y = y * s.counts["c"]
s.seen.add(s.n); y = y + len(s.seen)
y = y * s.model.pair[0][0] + s.model.pair[1]["k"]; s.model.pair[1]["k"] += 1
s.model.window.append(y.sum()); y = y + sum(s.model.window)
Inner.power = Inner.power + 1; y = y * Inner.power
s.model.inner.gain = s.model.inner.gain * 0.5; y = y * s.model.inner.gain
y = y + s.model.acts.get("o", 0)
y = F.dropout(y, 0.3, s.flag) if s.flag else y
y = y + fb.rand(3)
with fb.set_grad_enabled(s.flag): y = y * s.w
with fb.no_grad(): s.model.inner.linear.weight.mul_(0.9)
s.w.data.mul_(0.9)
y = y * count()
if s.flag and len(s.cfg.log) > 1: return y
try: y = y / s.table["missing"]\nexcept KeyError: s.n -= 1
try: s.rows[2] = y\nexcept IndexError: y = -y
try: check(s.n)\nexcept ValueError as e: y = y + len(e.args)\nfinally: s.k += 1
s.name += "b"; y = y + len(s.name)
nn.utils.clip_grad_norm_(s.model.parameters(), s.k)
y = y + s.w.detach(); out.append(s.w.detach())
s.extra = y; y = y + getattr(s, "extra2", 1)
s.view = s.rows[0][:2]; y = y + s.view.sum()
for p in s.model.parameters(): out.append(p.requires_grad); break
""".strip().split("\n")

BETWEEN = """
s.model.train(not s.model.training)
s.model.inner.training = not s.model.inner.training
s.model.drop.p = 0.5
s.model.inner.linear = nn.Linear(3, 3); s.opt = fb.optim.SGD(s.model.parameters(), lr=0.05)
s.model.inner.linear.weight = nn.Parameter(fb.full((3, 3), 0.25)); s.opt = fb.optim.SGD(s.model.parameters(), lr=0.05)
s.model.load_state_dict({k: v.clone() for k, v in s.model.state_dict().items()}, assign=True)
s.model.inner.mean = fb.full((3,), 2.0)
s.model.inner.last = None
s.model.inner.calls = 10
s.model.inner.requires_grad_(False)
s.model.requires_grad_(True)
s.opt.param_groups[0]["lr"] *= 0.5
s.opt.param_groups[0]["momentum"] = 0.0
s.opt = fb.optim.Adam(s.model.parameters(), lr=0.01, eps=0.1); s.sched = fb.optim.lr_scheduler.ExponentialLR(s.opt, 0.9)
s.sched.step()
s.handles.pop().remove() if s.handles else None
s.handles.append(s.model.inner.register_forward_hook(lambda m, i, o: o * 2))
s.handles.append(s.w.register_hook(lambda g: g * s.k))
s.w = fb.full((3,), 2.0, requires_grad=True)
s.w.grad = None
s.w.requires_grad_(not s.w.requires_grad)
s.cfg = Config(scale=2.0, sizes=(3,))
s.cfg.best = None
s.cfg.log.clear()
s.cfg.sizes += (1,)
s.flag = not s.flag
s.n = 7
s.k = 3.0
s.name = "zzz"
s.window.clear()
s.window.append(fb.ones(3)); s.window.append(s.window[-1])
s.rows = [fb.ones(3)] * 2
s.rows.append(fb.ones(3))
s.rows.reverse()
s.rows.pop() if len(s.rows) > 2 else None
s.rows[0] = s.h[0]
s.h = (s.h[0], s.h[0])
s.prev = s.rows[0]
s.prev = s.h[0]
s.prev = x
x = x * 1.0
s.table["a"] = 4.0
s.table.pop("b", None)
s.table["c"] = 1
s.part.keywords["k"] = 5.0
s.counts.clear()
s.seen.clear()
s.model.pair[0][0] = 3.0
s.model.pair = ([2.0], {"k": 1})
s.model.blocks[1] = nn.ReLU()
s.model.acts.clear()
Inner.power = 3
s.model.inner._gain = 2.0
s.extra2 = 4
count.__defaults__ = (3,)
pass
""".strip().split("\n")


def lines_of(statement: str, indent: str) -> list[str]:
    return [indent + line for line in statement.replace("\\n", "\n").split("\n")]


def source_of(seed: int) -> str:
    r = random.Random(seed)
    lines = [
        "def script(compile, x):",
        "    Inner.power = 1",
        "    s, total = state(), 0",
        "    def count(by=1):",
        "        nonlocal total",
        "        total += by",
        "        return total",
        "    def check(n):",
        "        if n % 2: raise ValueError(n)",
        "    def step(x):",
        "        y, out = x * 1, []",
    ]
    for statement in r.sample(STEP, r.randint(3, 6)):
        lines += lines_of(statement, "        ")
    lines += ["        return y, out", "    f = compile(step)", "    seen = looks(s)"]
    for _ in range(6):
        lines += ["    yield attempt(f, x), x, total, looks(s)", "    try:"]
        for statement in r.sample(BETWEEN, r.choice([0, 1, 1, 2])) or ["pass"]:
            lines += lines_of(statement, "        ")
        lines += ["    except (TypeError, AttributeError, IndexError, KeyError, RuntimeError): pass"]
    return "\n".join(lines)


def looks(s: Any) -> Any:
    inner = s.model.inner
    return [
        *s.model.parameters(), inner.mean, inner.last, inner.calls, inner._gain, Inner.power, s.model.training, s.model.pair,
        list(s.model.window), s.cfg, s.n, s.k, s.name, list(s.window), list(s.rows), dict(s.table), s.h, s.w, s.w.grad, s.prev,
        dict(s.counts), set(s.seen), s.opt.param_groups[0]["lr"], s.model.acts.get("o"), getattr(s, "extra", None),
        s.prev is s.h[0], s.rows[0] is s.rows[-1], getattr(s, "view", None),
    ]  # fmt: skip


def play(seed: int) -> None:
    source = source_of(seed)
    names: dict[str, Any] = {
        "fb": fb, "nn": nn, "F": F, "math": math, "dataclasses": dataclasses, "collections": collections, "attempt": attempt,
        "state": state, "looks": looks, "Inner": Inner, "Config": Config, "__name__": "fuzz",
    }  # fmt: skip
    exec(compile(source, f"styles_{seed}.py", "exec"), names)
    try:
        Case(names["script"], may_fall_back="whatever it does, it must be right").check()
    except BaseException as error:
        numbered = "\n".join(f"{i:3} {line}" for i, line in enumerate(source.split("\n"), 1))
        pytest.fail(f"seed {seed}: {error}\n{numbered}", pytrace=False)


@pytest.mark.parametrize("seed", range(12))
def test_random_trainers(seed: int) -> None:
    play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 2000, 25))
def test_many_random_trainers(start: int) -> None:
    for seed in range(start, start + 25):
        play(seed)
