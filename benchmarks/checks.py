"""What the checks on values cost a compiled training step: the same step traced with and without them, in turn.

    python benchmarks/checks.py [--large]

Prints a Markdown table of medians over interleaved rounds; times are this thread's, since a step runs in it and the figures
are small. `--large` adds steps that take long.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import flambeau as fb
from flambeau import nn
from flambeau.compiler.demands import Demands


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


def step_of(build: Callable[[], tuple[Any, Any, Any]], checked: bool) -> Callable[[], Any]:
    fb.manual_seed(0)
    model, optimizer, x = build()
    y = fb.randint(0, 10, (x.shape[0],))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    compiled = fb.compile(step, fullgraph=True)
    taken_down = Demands.add, Demands.add_ahead
    if not checked:  # these traces take no demands down
        Demands.add, Demands.add_ahead = (lambda *_: None), (lambda *_: True)  # type: ignore[method-assign]
    for _ in range(5):
        compiled(x, y)
    Demands.add, Demands.add_ahead = taken_down  # type: ignore[method-assign]
    return lambda: compiled(x, y)


def in_turn(calls: list[Callable[[], Any]], rounds: int, clock: Callable[[], int]) -> list[float]:
    """Median microseconds of each call, and the median of the rounds' ratios of the first to the second."""
    counts = []
    for call in calls:
        for _ in range(5):
            call()
        start = time.perf_counter()
        call()
        counts.append(max(1, int(0.02 / (time.perf_counter() - start))))
    taken: list[list[float]] = []
    gc.disable()
    for number in range(rounds):
        times = [0.0, 0.0]
        for i in (0, 1) if number % 2 else (1, 0):
            start = clock()
            for _ in range(counts[i]):
                calls[i]()
            times[i] = (clock() - start) / counts[i] / 1e3
        taken.append(times)
    gc.enable()
    return [*map(statistics.median, zip(*taken, strict=True)), statistics.median(a / b for a, b in taken)]


def main() -> None:
    steps = [mlp, deep, words] + [wide, alexnet] * ("--large" in sys.argv)
    print("| training step (us) | with checks | without | ratio |\n|---|---|---|---|")
    for build in steps:
        large = build in (wide, alexnet)
        clock = time.perf_counter_ns if large else time.thread_time_ns
        with_checks, without, ratio = in_turn(
            [step_of(build, True), step_of(build, False)], 41 if large else 201, clock
        )
        print(f"| {build.__name__} | {with_checks:.1f} | {without:.1f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
