"""What a call costs without `compile`: one operator, a small training step, construction, imports.

    python benchmarks/eager.py

Prints a Markdown table. Run it on a quiet machine: torch's threads spin, and one busy process beside them makes its
small steps many times slower.
"""

from __future__ import annotations

import os

# flambeau has the C library keep freed memory, of which torch in the same process would profit: it would construct its
# networks in half the time that it takes in a process of its own.
os.environ["FLAMBEAU_MALLOC"] = "0"

import statistics
import subprocess
import sys
import tempfile
import time

import jax
import torch
from measure import interleaved

import flambeau as fb


def add() -> dict[str, float]:
    a, b = (lib.tensor([1.0, 2.0, 3.0], requires_grad=True) for lib in (fb, torch))
    c, d = (lib.tensor([1.0, 2.0, 3.0]) for lib in (fb, torch))
    bare = jax.jit(lambda x, y: x + y)
    x, y = a._array, c._array
    return interleaved({"flambeau": lambda: a + c, "torch": lambda: b + d, "bare jit": lambda: bare(x, y)})


def mlp_step(lib):
    lib.manual_seed(0)
    nn = lib.nn
    model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = lib.randn(32, 20), lib.randint(0, 10, (32,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def forward_mlp(lib):
    nn = lib.nn
    model = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
    x = lib.randn(32, 20)

    @lib.no_grad()
    def forward():
        return model(x)

    return forward


def _document_resnet(lib):
    """The ResNet34 of the documents, built by either library."""
    nn = lib.nn

    def block(cin, cout, stride=1, shortcut=None):
        parts = [nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
                 nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)]  # fmt: skip
        return nn.ModuleDict({"left": nn.Sequential(*parts), **({"right": shortcut} if shortcut is not None else {})})

    def layer(cin, cout, count, stride=1):
        shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
        return nn.Sequential(block(cin, cout, stride, shortcut), *[block(cout, cout) for _ in range(1, count)])

    def build():
        pre = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64))
        layers = [layer(64, 128, 3), layer(128, 256, 4, 2), layer(256, 512, 6, 2), layer(512, 512, 3, 2)]
        return nn.Sequential(pre, *layers, nn.Linear(512, 101))

    return build


def _alexnet(lib):
    nn = lib.nn

    def build():
        sizes = [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
        convolutions = [nn.Conv2d(a, b, k) for a, b, k in sizes]
        return nn.Sequential(*convolutions, nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000))

    return build


def import_time(module: str, rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


FIRST = """
import time, sys
import flambeau as lib
models = lib.vision.models
lib.manual_seed(0)
model = models.resnet18().eval()
x = lib.randn(1, 3, 224, 224)
start = time.perf_counter()
with lib.no_grad():
    model(x).sum().item()
print(time.perf_counter() - start)
"""


def first_forward() -> tuple[float, float]:
    """Seconds of the first ResNet18 forward of a process, with an empty and with a filled compilation cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FLAMBEAU_CACHE": folder}
        times = [
            float(
                subprocess.run(
                    [sys.executable, "-c", FIRST], env=environment, check=True, capture_output=True, text=True
                ).stdout
            )
            for _ in range(2)
        ]
    return times[0], times[1]


def main() -> None:
    print("| what | flambeau | torch | ratio |\n|---|---|---|---|")
    figures = add()
    print(
        f"| `add` of two 3-element tensors, grad on (us); a bare cached `jit` call takes {figures['bare jit'] * 1e6:.1f} "
        f"| {figures['flambeau'] * 1e6:.1f} | {figures['torch'] * 1e6:.1f} | {figures['flambeau'] / figures['torch']:.2f} |"
    )
    rows = {
        "20-256-10 MLP, batch 32: forward, no grad (us)": {"flambeau": forward_mlp(fb), "torch": forward_mlp(torch)},
        "the same: training step, SGD with momentum (us)": {"flambeau": mlp_step(fb), "torch": mlp_step(torch)},
    }
    for what, candidates in rows.items():
        f = interleaved(candidates)
        print(f"| {what} | {f['flambeau'] * 1e6:.0f} | {f['torch'] * 1e6:.0f} | {f['flambeau'] / f['torch']:.2f} |")
    for what, build in {"construct ResNet34 (ms)": _document_resnet, "construct AlexNet (ms)": _alexnet}.items():
        f = interleaved({"flambeau": build(fb), "torch": build(torch)}, rounds=5, seconds=0.0)
        print(f"| {what} | {f['flambeau'] * 1e3:.0f} | {f['torch'] * 1e3:.0f} | {f['flambeau'] / f['torch']:.2f} |")
    ours, theirs = import_time("flambeau"), import_time("torch")
    print(f"| `import` in a new process (s) | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    cold, warm = first_forward()
    print(
        f"\nFirst forward of ResNet18 at 224x224 in a new process: {cold:.1f} s with an empty compilation cache, {warm:.1f} s with a filled one."
    )


if __name__ == "__main__":
    main()
