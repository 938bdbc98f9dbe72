"""A sweep of convolution geometries: the ratio to torch of each, forward and with either gradient.

    python benchmarks/convolutions.py [how many] [seed]

Geometries are drawn under a seed: one to three dimensions, transposed ones, groups, depthwise, dilation, strides, odd channels,
64 bits. Each is run in one process with torch (one thread each, the process's own time, the smallest of interleaved rounds),
once with the native kernels and once without. What is above 1.5 times torch, and by more than a call of ours costs beside
one of torch's whatever it computes (`CALL`), is listed.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

COUNT, SEED, LIMIT = 300, 0, 1.5
CALL = 60e-6  # seconds
PASSES = ("forward", "input's gradient", "weight's gradient")
ROUNDS, SECONDS = 4, 0.006


def geometries(count: int, seed: int) -> list[dict[str, Any]]:
    """The settings of `count` different convolutions."""
    rng = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        dims = rng.choice([1, 2, 2, 3])
        inside, out, groups = rng.choice([3, 8, 16, 17, 32, 64]), rng.choice([1, 8, 16, 33, 64]), 1
        kind = rng.choice(["plain", "plain", "groups", "depthwise"])
        if kind == "groups":
            inside, out, groups = 16, 32, 4
        if kind == "depthwise":
            inside = out = groups = 32
        setting = {
            "dims": dims, "transposed": rng.random() < 0.3, "in": inside, "out": out, "groups": groups,
            "kernel": rng.choice([1, 3, 5] if dims < 3 else [1, 3]), "stride": rng.choice([1, 1, 2]),
            "dilation": rng.choice([1, 1, 2]), "size": {1: 256, 2: 24, 3: 10}[dims],
            "dtype": rng.choice(["float32", "float32", "float64"]),
        }  # fmt: skip
        found[json.dumps(setting)] = setting
    return list(found.values())


def passes(lib: Any, setting: dict[str, Any]) -> list[Callable[[], Any]]:
    """The three passes of a convolution of `lib` (flambeau or torch)."""
    lib.manual_seed(0)
    dtype, dims = getattr(lib, setting["dtype"]), setting["dims"]
    layer = getattr(lib.nn, f"Conv{'Transpose' if setting['transposed'] else ''}{dims}d")(
        setting["in"], setting["out"], setting["kernel"], stride=setting["stride"], dilation=setting["dilation"],
        groups=setting["groups"], dtype=dtype,
    )  # fmt: skip
    x = lib.randn(2, setting["in"], *[setting["size"]] * dims).to(dtype).requires_grad_()

    def forward() -> Any:
        with lib.no_grad():
            return layer(x)

    def gradient(by: Any) -> Callable[[], Any]:
        return lambda: lib.autograd.grad(layer(x).sum(), by)[0]

    return [forward, gradient(x), gradient(layer.weight)]


def cost(call: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        result = call()
    result.numpy()
    return (time.process_time() - start) / times


def measure(settings: list[dict[str, Any]]) -> None:
    """Print the ratio of each pass of each geometry."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    import flambeau

    torch.set_num_threads(1)
    flambeau.set_num_threads(1)
    for setting in settings:
        ratios, traps = [], []
        for pair in zip(passes(torch, setting), passes(flambeau, setting), strict=True):
            for call in pair:
                call().numpy()
            times = min(20, max(1, int(SECONDS / max(cost(pair[0], 1), 1e-5))))
            taken = [float("inf")] * 2
            for _ in range(ROUNDS):
                taken = [min(t, cost(call, times)) for t, call in zip(taken, pair, strict=True)]
            ratios.append(taken[1] / taken[0])
            traps.append(taken[1] > LIMIT * taken[0] + CALL)
        print(json.dumps([ratios, traps, setting]), flush=True)


def told(setting: dict[str, Any]) -> str:
    kind = f"{'transposed ' if setting['transposed'] else ''}{setting['dims']}d"
    groups = f", {setting['groups']} groups" if setting["groups"] > 1 else ""
    return (
        f"{kind}, {setting['in']} to {setting['out']}{groups}, kernel {setting['kernel']}, stride {setting['stride']}, "
        f"dilation {setting['dilation']}, {setting['dtype']}"
    )


def table(found: dict[str, list[tuple[list[float], list[bool], dict[str, Any]]]]) -> str:
    lines = [
        "| | pass | median | 90 of 100 below | worst | above 1.5 times, calls apart |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        for i, which in enumerate(PASSES):
            values = sorted(ratios[i] for ratios, _, _ in rows)
            above = sum(traps[i] for _, traps, _ in rows)
            lines.append(
                f"| {name} | {which} | {statistics.median(values):.2f} | {values[int(len(values) * 0.9)]:.2f} | "
                f"{values[-1]:.2f} | {above} of {len(values)} |"
            )
    for name, rows in found.items():
        bad = sorted((row for row in rows if any(row[1])), key=lambda row: -max(row[0]))
        lines += ["", f"Above 1.5, {name} (the three passes):", ""]
        lines += [f"- {', '.join(f'{r:.2f}' for r in ratios)}: {told(setting)}" for ratios, _, setting in bad]
    return "\n".join(lines)


def main(count: int, seed: int) -> None:
    found = {}
    for name, native in (("native", "1"), ("without", "0")):
        environment = {**os.environ, "FLAMBEAU_NATIVE": native}
        done = subprocess.run(
            [sys.executable, __file__, str(count), str(seed), "measure"],
            env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found[name] = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    print(table(found))  # type: ignore[arg-type]


if __name__ == "__main__":
    arguments = [int(a) for a in sys.argv[1:3]]
    count, seed = (*arguments, *(COUNT, SEED)[len(arguments) :])
    if sys.argv[3:] == ["measure"]:
        measure(geometries(count, seed))
    else:
        main(count, seed)
