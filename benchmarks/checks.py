"""What the checks on values cost a compiled training step: the same step with and without them, in turn.

    python benchmarks/checks.py [--large]

Checks ahead of a program leave the program as it is, so both ways call the same one, with the same model in the same
memory (two equal models that lie elsewhere differ by up to a quarter). Batches come from a loader's NumPy memory ("new"), are
computed for each step ("computed"), or are some that are there and come again ("again"). Prints a Markdown table; times are this
thread's, of the step alone: tenth percentiles, since the figures are small. `--large` adds steps that take long.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import flambeau as fb
from flambeau import nn


def mlp() -> tuple[Any, Any, Any]:
    model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, fb.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), fb.randn(32, 20)


def deep() -> tuple[Any, Any, Any]:
    layers = [part for _ in range(8) for part in (nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU())]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    return model, fb.optim.AdamW(model.parameters(), lr=1e-3), fb.randn(64, 128)


def words() -> tuple[Any, Any, Any]:
    model = nn.Sequential(nn.Embedding(1000, 64), nn.Flatten(), nn.Linear(64 * 16, 128), nn.ReLU(), nn.Linear(128, 10))
    return model, fb.optim.Adam(model.parameters(), lr=1e-3), fb.randint(0, 1000, (32, 16))


def wide() -> tuple[Any, Any, Any]:
    model = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10))
    return model, fb.optim.Adam(model.parameters(), lr=1e-3), fb.randn(32, 1024)


def alexnet() -> tuple[Any, Any, Any]:
    model = fb.vision.models.alexnet(num_classes=10)
    return model, fb.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9), fb.randn(8, 3, 224, 224)


class Step:
    """A compiled step; `checked(False)` takes the checks ahead of its program away, `checked(True)` puts them back."""

    def __init__(self, build: Callable[[], tuple[Any, Any, Any]]):
        fb.manual_seed(0)
        model, optimizer, x = build()

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        self.call = fb.compile(step, fullgraph=True)
        self.loaded = [(x.tolist(), fb.randint(0, 10, (len(x),)).tolist()) for _ in range(8)]
        self.batches = [(fb.tensor(x) + 0, fb.tensor(y) + 0) for x, y in self.loaded]
        for batch in self.batches:
            self.call(*batch)
        ((self.program,),) = self.call.programs.values()
        plan = self.program.plan
        if plan.word is not None or not plan.ahead:
            raise RuntimeError("the step's checks are in its program, which would have to be compiled without them")
        self.calls = {True: self.program.call}
        self.program.plan = dataclasses.replace(plan, ahead=[])
        self.calls[False] = self.program._write_call()
        self.program.plan = plan

    def checked(self, on: bool) -> None:
        self.program.call = self.calls[on]

    def batch(self, kind: str, number: int) -> tuple[Any, Any]:
        x, y = self.batches[number % len(self.batches)]
        if kind == "again":
            return x, y
        if kind == "computed":
            return (x, y + 0) if x.dtype.is_floating_point else (x + 0, y + 0)
        return tuple(map(fb.tensor, self.loaded[number % len(self.loaded)]))


def in_turn(step: Step, kind: str, rounds: int, clock: Callable[[], int]) -> list[float]:
    """Microseconds of a step with its checks and without."""
    times: dict[bool, list[int]] = {True: [], False: []}
    gc.disable()
    for number in range(rounds):
        for on in (True, False) if number % 2 else (False, True):
            step.checked(on)
            for i in range(4):  # the first one after the change warms the caches up
                batch = step.batch(kind, 4 * number + i)
                start = clock()
                step.call(*batch)
                if i:
                    times[on].append(clock() - start)
                del batch
    gc.enable()
    return [sorted(times[on])[len(times[on]) // 10] / 1e3 for on in (True, False)]


def main() -> None:
    steps = [mlp, deep, words] + [wide, alexnet] * ("--large" in sys.argv)
    print("| training step (us) | batches | with checks | without | ratio |\n|---|---|---|---|---|")
    for build in steps:
        large = build in (wide, alexnet)
        clock = time.perf_counter_ns if large else time.thread_time_ns
        step = Step(build)
        rounds = {mlp: 3000, wide: 20, alexnet: 10}.get(build, 600)
        for kind in ("again", "new", "computed"):
            with_checks, without = in_turn(step, kind, rounds, clock)
            print(
                f"| {build.__name__} | {kind} | {with_checks:.1f} | {without:.1f} | {with_checks / without:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
