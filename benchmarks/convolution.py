"""Convolutional networks on the CPU: flambeau against torch.

    python benchmarks/convolution.py

Each candidate lives in a process of its own, so that neither library's threads or memory settings touch the other. The
processes take turns, one step of a round each; medians over the rounds. Prints a Markdown table. Run it on a quiet machine.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from functools import partial
from typing import Any

from measure import serve, turns
from networks import SHAPES, network

CANDIDATES = ("flambeau compiled", "flambeau", "torch", "torch channels_last")
TRAINING, INFERENCE, LOWER = "training step", "inference", ", bfloat16 autocast"
TASKS = (TRAINING, INFERENCE, TRAINING + LOWER, INFERENCE + LOWER)
ROUNDS = {"ResNet34": 9, "AlexNet": 11, "LeNet": 25}
STEPS = {"ResNet34": 1, "AlexNet": 1, "LeNet": 20}  # steps between two looks at the result


def work(candidate: str, name: str, task: str) -> None:
    """A candidate's process: prints a step's seconds for each line that it reads."""
    lib: Any = importlib.import_module(candidate.split()[0])
    lib.manual_seed(0)
    model = network(lib, name)
    x, y = lib.randn(*SHAPES[name]), lib.randint(0, 10, (SHAPES[name][0],))
    if candidate.endswith("channels_last"):
        model, x = model.to(memory_format=lib.channels_last), x.contiguous(memory_format=lib.channels_last)
    model.train(task.startswith(TRAINING))
    optimizer = lib.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    lower = partial(lib.autocast, "cpu", enabled=task.endswith(LOWER))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with lower():
            loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def infer(x: Any, y: Any) -> Any:
        with lib.no_grad(), lower():
            return model(x).sum()

    call = step if task.startswith(TRAINING) else infer
    if candidate.endswith("compiled"):
        call = lib.compile(call)
    for _ in range(3):
        call(x, y).item()
    print("ready", flush=True)
    serve(partial(call, x, y), lib.Tensor.item, STEPS[name])


def measure(name: str, task: str) -> dict[str, float]:
    """Median seconds a step by candidate."""
    processes = {}
    for candidate in CANDIDATES:
        command = [sys.executable, __file__, candidate, name, task]
        processes[candidate] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert processes[candidate].stdout.readline() == "ready\n"
    return turns(processes, ROUNDS[name])


def multiply_adds(name: str) -> int:
    """Of one image's forward pass."""
    import flambeau as fb

    return fb.summary(network(fb, name), SHAPES[name]).multiply_adds // SHAPES[name][0]


def limit() -> float:
    """GFLOP/s of a 2048 x 2048 float32 matrix product in torch."""
    import torch

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times) / 1e9


def main() -> None:
    print(f"A 2048 x 2048 float32 product runs at {limit():.0f} GFLOP/s.\n")
    print(
        "| (ms) | "
        + " | ".join(CANDIDATES)
        + " | torch / compiled | channels_last / compiled | torch / eager | GFLOP/s |"
    )
    print("|---" * (len(CANDIDATES) + 5) + "|")
    for name in SHAPES:
        work_of_one = 2 * multiply_adds(name) * SHAPES[name][0]
        for task in TASKS:
            found = measure(name, task)
            ours = found["flambeau compiled"]
            cells = " | ".join(f"{seconds * 1e3:.1f}" for seconds in found.values())
            ratios = [found["torch"] / ours, found["torch channels_last"] / ours, found["torch"] / found["flambeau"]]
            rate = work_of_one * (3 if task.startswith(TRAINING) else 1) / ours / 1e9
            print(
                f"| {name}, batch {SHAPES[name][0]}, {task} | {cells} | "
                + " | ".join(f"{r:.2f}" for r in ratios)
                + f" | {rate:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(*sys.argv[1:])
    else:
        main()
