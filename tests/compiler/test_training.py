"""Compiled steps against eager ones: results and all state, step for step."""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import pytest

import flambeau as fb
from support.training_steps import scenarios

STEPS = 5
Found = list[dict[str, np.ndarray | None]]  # for each step, all that it gave and changed


def leaves(value: Any) -> list[Any]:
    return [value] if isinstance(value, fb.Tensor) else [leaf for v in value for leaf in leaves(v)]


def disturbed(batch: Any, seed: int) -> Any:
    """The batch with every value off by up to some rounding errors."""
    draw = np.random.default_rng(seed)

    def moved(t: Any) -> Any:
        if not t.is_floating_point():
            return t
        size = 8 * fb.finfo(t.dtype).eps * float(t.abs().max())
        return t + fb.from_numpy(draw.uniform(-size, size, tuple(t.shape))).to(t.dtype)

    return tuple(map(moved, batch))


def run(name: str, compiled: Any, noise: int | None = None) -> tuple[Found, Any]:
    """What some steps give and change; `compiled(i)` says whether step i is to run compiled."""
    fb.manual_seed(0)
    step, look, batch = scenarios[name]()
    quick = fb.compile(step)
    found: Found = []
    for i in range(STEPS):
        given = batch(i) if noise is None else disturbed(batch(i), 100 * noise + i)
        fb.manual_seed(i)
        results = leaves((quick if compiled(i) else step)(*given))
        held = {f"result {n}": t for n, t in enumerate(results)} | look()
        found.append({k: None if t is None else np.array(t.detach().numpy()) for k, t in held.items()})
    return found, quick


@cache
def expected(name: str, dtype: Any) -> tuple[Found, list[dict[str, float]]]:
    """What eager steps give and change, and how far each of these may be off.

    That follows from how far it moves when the inputs are disturbed by some rounding errors: near the kink of a ReLU,
    or where values cancel, that is much, and it depends on the processor on which side of it a step ends up.
    """
    eager, _ = run(name, lambda i: False)
    moved = [run(name, lambda i: False, noise)[0] for noise in range(1, 7)]
    allowed: list[dict[str, float]] = []
    for i, step in enumerate(eager):
        allowed.append({})
        for key, value in step.items():
            if value is None or value.dtype.kind != "f" or not value.size:
                continue
            farthest = max(float(np.abs(other[i][key] - value).max()) for other in moved)
            allowed[-1][key] = 8 * (farthest + float(np.finfo(value.dtype).eps * np.abs(value).max()))
    return eager, allowed


@pytest.mark.parametrize("dtype", [fb.float64, fb.float32], ids=str)
@pytest.mark.parametrize("mixed", [False, True], ids=["compiled", "mixed"])
@pytest.mark.parametrize("name", sorted(scenarios))
def test_a_compiled_step_is_the_eager_step(name: str, mixed: bool, dtype: Any) -> None:
    fb.set_default_dtype(dtype)
    try:
        eager, allowed = expected(name, dtype)
        found, quick = run(name, (lambda i: i != 2) if mixed else (lambda i: True))
    finally:
        fb.set_default_dtype(fb.float32)
    for i, (step, wanted) in enumerate(zip(found, eager, strict=True)):
        assert step.keys() == wanted.keys()
        for key, value in wanted.items():
            where, ours = f"{key} after step {i}", step[key]
            if value is None or ours is None:
                assert value is ours, where
                continue
            assert (ours.shape, ours.dtype) == (value.shape, value.dtype), where
            np.testing.assert_allclose(ours, value, rtol=0, atol=allowed[i].get(key, 0), err_msg=where)
    assert len(fb.compile.explain(quick)) == 1, fb.compile.explain(quick)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "rate", "tolerance"), [(fb.float64, 0.01, 1e-9), (fb.float32, 0.001, 2e-3)], ids=str)
def test_resnet34(dtype: Any, rate: float, tolerance: float) -> None:
    losses = []
    for compiled in (False, True):
        fb.manual_seed(0)
        model = fb.vision.models.resnet34(num_classes=10).to(dtype)
        optimizer = fb.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        x, y = fb.randn(8, 3, 64, 64, dtype=dtype), fb.arange(8) % 10

        def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = fb.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = partial(step, model, optimizer)
        quick = fb.compile(run) if compiled else run
        losses.append([quick(x, y).item() for _ in range(4)])
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)
    assert losses[0][-1] < losses[0][0]


def test_the_second_call_compiles_nothing() -> None:
    model = fb.nn.Sequential(fb.nn.Linear(64, 256), fb.nn.ReLU(), fb.nn.Linear(256, 64))
    optimizer = fb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = fb.ones(8, 64)

    @fb.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        step(x)
        assert compiled
        compiled.clear()
        for _ in range(3):
            step(x)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@dataclasses.dataclass
class Batch:
    values: Any
    factor: float


class Averaging(fb.optim.Optimizer):
    """Somebody's own optimizer, whose first step is unlike the later ones."""

    def __init__(self, params: Any, lr: float = 0.1):
        super().__init__(params, {"lr": lr})

    @fb.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["average"] = fb.zeros_like(p)
                    p.add_(p.grad, alpha=-2 * group["lr"])
                    continue
                state["average"].mul_(0.5).add_(p.grad)
                p.add_(state["average"], alpha=-group["lr"])


def weights(make: Any, compiled: bool, change: Any = None, programs: int | None = None) -> Any:
    """What six steps make of a small parameter; `change(i, group)` is called after the i-th."""
    weight = fb.nn.Parameter(fb.arange(5.0))
    optimizer = make([weight])

    def step() -> Any:
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        optimizer.step()
        return loss

    run = fb.compile(step) if compiled else step
    for i in range(6):
        run()
        if change is not None:
            change(i, optimizer.param_groups[0])
    assert programs is None or len(fb.compile.explain(run)) == programs
    return weight.detach().numpy()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: fb.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
        lambda p: fb.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, maximize=True),
        Averaging,
    ],
)
def test_a_first_step_unlike_the_later_ones(make: Any) -> None:
    np.testing.assert_allclose(weights(make, True), weights(make, False), rtol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_options_that_are_tensors(name: str) -> None:
    def change(i: int, group: dict[str, Any]) -> None:
        if i == 2:
            group["lr"].fill_(0.5)
        if i == 3:
            group["weight_decay"] = 0.2
        if i == 4:
            group["lr"] = fb.tensor(0.05)  # another tensor is another piece of state, hence a second program

    def make(params: Any) -> Any:
        return getattr(fb.optim, name)(params, lr=fb.tensor(0.1), weight_decay=0.01)

    np.testing.assert_allclose(weights(make, True, change, programs=2), weights(make, False, change), rtol=1e-5)


def test_arguments_keep_the_order_of_their_keys() -> None:
    seen = []

    @fb.compile
    def total(batch: Any, *, scale: float = 1.0) -> Any:
        seen.append(list(batch))
        return sum(value * scale for value in batch.values() if value is not None)

    x, y = fb.ones(3), fb.full((3,), 2.0)
    assert total({"b": x, "a": y}).tolist() == [3.0] * 3
    assert total({"b": y, "a": x}).tolist() == [3.0] * 3
    assert seen == [["b", "a"]] * 2 and len(fb.compile.explain(total)) == 1
    assert total({1: x, "a": y, "none": None}, scale=2.0).tolist() == [6.0] * 3
    assert total({"a": y, "b": x}).tolist() == [3.0] * 3
    assert seen[2:] == [[1, "a", "none"], ["a", "b"]]


def test_a_dataclass_is_an_argument_of_tensors() -> None:
    @fb.compile
    def scaled(batch: Batch) -> Any:
        return batch.values * batch.factor

    assert scaled(Batch(fb.ones(2), 3)).tolist() == [3.0, 3.0]
    assert scaled(Batch(fb.ones(2) * 2, 3)).tolist() == [6.0, 6.0]
    assert scaled(Batch(fb.ones(2), 4)).tolist() == [4.0, 4.0]
    assert len(fb.compile.explain(scaled)) == 2
