"""A trainer and whatever may change around it, in random order, uncompiled and compiled: both must stay the same.

Two worlds are built alike. Each action changes both; each call of the step compares results, parameters, gradients, buffers,
optimizer state and Python's own books. What fails is told as the list of actions that led there.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import flambeau as fb
from compiler.scenarios import frozen, largest, same
from flambeau import nn
from flambeau.nn import functional as F

Action = Callable[["Trainer", int], Any]
ACTIONS: dict[str, Action] = {}


def action(function: Action) -> Action:
    ACTIONS[function.__name__] = function
    return function


class Scale(nn.Module):
    """Reads attributes of many kinds; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.k: Any = 1.0
        self.calls = 0
        self.options = {"shift": 0.0, "table": [1.0, 2.0]}
        self.register_buffer("seen", fb.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        return x * self.k + self.options["shift"] + sum(self.options["table"]) * 0.01


class Trainer:
    """One training step with the habits of many: clipping, accumulation, a schedule, averages, a history."""

    def __init__(self) -> None:
        # no bias before a normalization: its gradient is 0 but for rounding, of which an optimizer like Adam makes a whole step
        self.model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh(), Scale(), nn.Linear(4, 2))
        self.opt: Any = fb.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.scheduler: Any = None
        self.loss: Any = F.mse_loss
        self.cfg: dict[str, Any] = {"weight": 1.0, "l2": 0.0, "inner": {"shifts": [0.0, (1, [0.5])]}}
        self.clip: Any = None
        self.every = 1
        self.n = 0
        self.mean: Any = fb.zeros(())
        self.total = 0.0
        self.last: Any = None
        self.history: Any = collections.deque(maxlen=3)
        self.notes: dict[str, Any] = {}
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.handles: list[Any] = []
        self.gain = {"hook": 1.0}

    def step(self, x, y):
        self.n += 1
        out = self.model(x)
        loss = self.loss(out, y) * self.cfg["weight"] + self.cfg["inner"]["shifts"][1][1][0]
        if self.cfg["l2"]:
            loss = loss + self.cfg["l2"] * sum(p.pow(2).sum() for p in self.model.parameters())
        (loss / self.every).backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        if self.n % self.every == 0:
            self.opt.step()
            self.opt.zero_grad()
            if self.scheduler is not None:
                self.scheduler.step()
        self.mean = 0.9 * self.mean + 0.1 * loss.detach()
        self.total += len(x) / 4
        self.last = out.detach()
        self.history.append(self.n)
        self.notes["lr"] = self.opt.param_groups[0]["lr"]
        with fb.no_grad():
            for e, p in zip(self.average, self.model.parameters(), strict=True):
                e.lerp_(p, 0.25)
        return loss

    def predict(self, x):
        with fb.no_grad():
            return self.model(x).softmax(-1) * self.cfg["weight"]

    def restart(self) -> None:
        """After the model has been changed: what follows its parameters."""
        self.average = [p.detach().clone() for p in self.model.parameters()]

    def look(self) -> Any:
        state = [self.opt.state.get(p, {}) for p in self.model.parameters()]
        groups = [
            {k: v for k, v in g.items() if k != "params" and type(v) in (int, float, bool)}
            for g in self.opt.param_groups
        ]
        return frozen(
            [
                list(self.model.parameters()), [p.grad for p in self.model.parameters()], list(self.model.buffers()), groups,
                [dict(s) for s in state], self.n, self.mean, self.total, self.last, self.history, self.notes, self.average,
                [m.calls for m in self.model.modules() if isinstance(m, Scale)], self.cfg,
                self.scheduler and self.scheduler.last_epoch,
            ]
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------- optimizer


@action
def learning_rate(t, k):
    t.opt.param_groups[0]["lr"] = 0.01 * (k + 1)


@action
def weight_decay(t, k):
    t.opt.param_groups[0]["weight_decay"] = 0.01 * k


@action
def momentum(t, k):
    if "momentum" in t.opt.param_groups[0]:
        t.opt.param_groups[0]["momentum"] = 0.1 * k
    else:
        t.opt.param_groups[0]["betas"] = (0.1 * k, 0.9)


@action
def new_optimizer(t, k):
    kind = (fb.optim.SGD, fb.optim.Adam, fb.optim.AdamW, fb.optim.RMSprop)[k % 4]
    options = {} if k % 4 == 0 else {"eps": 1e-3}  # far above rounding errors, of which they else make whole steps
    t.opt, t.scheduler = kind(t.model.parameters(), lr=0.01, **options), None


@action
def optimizer_state_cleared(t, k):
    t.opt.state.clear()


@action
def optimizer_state_reloaded(t, k):
    t.opt.load_state_dict(t.opt.state_dict())


@action
def scheduler_inside(t, k):
    make = fb.optim.lr_scheduler
    t.scheduler = (make.ExponentialLR(t.opt, 0.9), make.StepLR(t.opt, 2, 0.5), make.CosineAnnealingLR(t.opt, 5), None)[
        k % 4
    ]


@action
def scheduler_stepped_outside(t, k):
    if t.scheduler is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            t.scheduler.step()


@action
def clipping(t, k):
    t.clip = None if k == 0 else 0.1 * k


@action
def accumulation(t, k):
    t.every = k % 3 + 1


@action
def gradients_cleared(t, k):
    t.opt.zero_grad(set_to_none=k % 2 == 0)


# -------------------------------------------------------------------------------------------------- model


@action
def model_replaced(t, k):
    fb.manual_seed(k)
    other = Trainer()
    t.model, t.opt, t.scheduler = other.model, other.opt, None
    t.restart()


@action
def layer_replaced(t, k):
    fb.manual_seed(k)
    t.model[0] = nn.Linear(3, 4, bias=False)
    t.restart()


@action
def activation_replaced(t, k):
    t.model[2] = (nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(0.1 * k), nn.Identity())[k % 4]


@action
def parameter_replaced(t, k):
    t.model[4].bias = nn.Parameter(fb.full((2,), float(k)))
    t.restart()


@action
def parameter_data_assigned(t, k):
    t.model[4].bias.data = fb.full((2,), float(k))


@action
def parameter_written(t, k):
    with fb.no_grad():
        t.model[0].weight[k % 4].fill_(0.1 * k)


@action
def buffer_replaced(t, k):
    t.model[3].seen = fb.tensor(float(k))
    t.model[1].running_mean = fb.full((4,), 0.1 * k)


@action
def state_loaded(t, k):
    state = {name: v * 0.5 if v.is_floating_point() else v for name, v in t.model.state_dict().items()}
    t.model.load_state_dict(state, assign=k % 2 == 0)
    t.restart()


@action
def training_mode(t, k):
    (t.model, t.model[1])[k % 2].train(k % 4 < 2)


@action
def frozen_layer(t, k):
    t.model[(0, 4)[k % 2]].requires_grad_(k > 2)
    if not any(p.requires_grad for p in t.model.parameters()):
        t.model[0].requires_grad_(True)


@action
def scale_becomes(t, k):
    scale = t.model[3]
    if "k" in scale._parameters:
        del scale.k
    scale.k = (1.0, 2, fb.tensor(0.5), nn.Parameter(fb.tensor(1.5)), fb.ones(4))[k % 5]
    t.restart()


@action
def option_of_a_module(t, k):
    t.model[3].options["shift"] = 0.5 * k


@action
def list_of_a_module(t, k):
    t.model[3].options["table"].append(float(k))


@action
def counter_of_a_module(t, k):
    t.model[3].calls = 10 * k


# -------------------------------------------------------------------------------------------------- hooks


@action
def hook_added(t, k):
    def forward(module, args, out):
        return out * t.gain["hook"]

    def gradient(grad):
        return grad * t.gain["hook"]

    def backward(module, into, out):
        return (into[0] * t.gain["hook"],)

    def note(module, args, out):
        t.notes["norm"] = out.detach().norm()
        t.notes["calls"] = t.notes.get("calls", 0) + 1

    t.handles.append(
        (
            lambda: t.model[2].register_forward_hook(forward),
            lambda: t.model[4].weight.register_hook(gradient) if t.model[4].weight.requires_grad else None,
            lambda: t.model[2].register_full_backward_hook(backward),
            lambda: t.model[0].register_forward_hook(note),
        )[k % 4]()
    )


@action
def hook_removed(t, k):
    if t.handles:
        handle = t.handles.pop()
        if handle is not None:
            handle.remove()


@action
def what_hooks_read(t, k):
    t.gain["hook"] = 0.5 + 0.25 * k


# ---------------------------------------------------------------------------------------- Python's own state


@action
def weight_of_the_loss(t, k):
    t.cfg["weight"] = (1.0, 2.0, 3, fb.tensor(0.5), True)[k % 5]


@action
def penalty(t, k):
    t.cfg["l2"] = 0.1 * k


@action
def deep_inside_the_config(t, k):
    t.cfg["inner"]["shifts"][1][1][0] = 0.5 * k


@action
def config_replaced(t, k):
    t.cfg = {"weight": 1.0 + k, "l2": 0.0, "inner": {"shifts": [0.0, (1, [0.25])]}}


@action
def loss_function(t, k):
    t.loss = (F.mse_loss, F.l1_loss, nn.HuberLoss(delta=0.5 + k), lambda a, b: (a - b).pow(2).sum())[k % 4]


@action
def counter(t, k):
    t.n = 100 * k


@action
def mean_restarted(t, k):
    t.mean = (fb.zeros(()), 0.0)[k % 2]


@action
def history_replaced(t, k):
    t.history = collections.deque([k], maxlen=k + 1)


@action
def notes_cleared(t, k):
    t.notes.clear()


@action
def average_replaced(t, k):
    t.average[k % len(t.average)] = fb.zeros_like(t.average[k % len(t.average)])


class World:
    def __init__(self, compile: Callable[..., Any]):
        fb.manual_seed(0)
        self.trainer = Trainer()
        self.step, self.predict = compile(self.trainer.step), compile(self.trainer.predict)


class Machine(RuleBasedStateMachine):
    """The uncompiled world, the compiled one, and what has been done to both."""

    @initialize()
    def start(self) -> None:
        self.default = fb.get_default_dtype()
        fb.set_default_dtype(fb.float64)
        self.worlds = World(lambda function: function), World(fb.compile)
        self.log: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "default"):
            fb.set_default_dtype(self.default)

    def _compare(self, what: str, run: Callable[[World], Any]) -> None:
        self.log.append(what)
        seen = []
        for world in self.worlds:
            fb.manual_seed(len(self.log))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is traced often is what this test is about
                seen.append((frozen(run(world)), world.trainer.look()))
        (a, before), (b, after) = seen
        parts = (
            "parameters", "gradients", "buffers", "groups", "optimizer state", "n", "mean", "total", "last", "history", "notes",
            "average", "calls", "config", "epoch",
        )  # fmt: skip
        assert same(a, b), f"{self.log}: the result is {b}, uncompiled {a}"
        for part, p, q in zip(parts, before[1], after[1], strict=True):
            # a saturated tanh has a derivative of rounding errors, beside gradients of hundreds
            assert same(p, q, max(1.0, largest(p))), f"{self.log}: {part}: {q}, uncompiled {p}"

    @rule(size=st.sampled_from([4, 4, 4, 6]), seed=st.integers(0, 5))
    def train(self, size: int, seed: int) -> None:
        fb.manual_seed(seed)
        x, y = fb.randn(size, 3), fb.randn(size, 2)
        self._compare(f"step({size})", lambda world: world.step(x.clone(), y.clone()))

    @rule(seed=st.integers(0, 5))
    def predict(self, seed: int) -> None:
        fb.manual_seed(seed)
        x = fb.randn(4, 3)
        self._compare("predict", lambda world: world.predict(x.clone()))

    @rule()
    def train_uncompiled(self) -> None:
        fb.manual_seed(9)
        x, y = fb.randn(4, 3), fb.randn(4, 2)
        self._compare("uncompiled step", lambda world: world.trainer.step(x.clone(), y.clone()))

    @rule(names=st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 4)), min_size=1, max_size=3))
    def change(self, names: list[tuple[str, int]]) -> None:
        for name, k in names:
            self.log.append(f"{name}({k})")
            for world in self.worlds:
                ACTIONS[name](world.trainer, k)
        self.train(4, 0)


QUICK = settings(
    max_examples=12,
    stateful_step_count=8,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def test_worlds_stay_the_same() -> None:
    run_state_machine_as_test(Machine, settings=QUICK)


@pytest.mark.slow
def test_hundreds_of_worlds_stay_the_same() -> None:
    thorough = settings(QUICK, max_examples=400, stateful_step_count=20, phases=(Phase.generate, Phase.shrink))
    run_state_machine_as_test(Machine, settings=thorough)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_one_change(name: str) -> None:
    """Each action alone, between calls of the step."""
    one_change(name, [1])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_one_change_with_every_number(name: str) -> None:
    one_change(name, range(5))


def one_change(name: str, numbers: Iterable[int]) -> None:
    machine = Machine()
    machine.start()
    try:
        machine.train(4, 0)
        for k in numbers:
            machine.change([(name, k)])
        machine.train(4, 1)
    finally:
        machine.teardown()
