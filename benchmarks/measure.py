"""Interleaved rounds: every candidate is timed in turn, many times over, and the medians are compared.

A slow moment of the machine then falls on all candidates alike.
"""

from __future__ import annotations

import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WARM = 12  # calls that count for nothing: NumPy computes up to eight first ones here, the next compiles


def interleaved(
    candidates: dict[str, Callable[[], object]],
    *,
    rounds: int = 15,
    seconds: float = 0.05,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds a call for each candidate. Each round runs each candidate for about `seconds`."""
    counts = {}
    for name, call in candidates.items():
        for _ in range(WARM):
            call()
        start = clock()
        call()
        counts[name] = max(1, int(seconds / max(clock() - start, 1e-7)))
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in candidates.items():
                start = clock()
                for _ in range(counts[name]):
                    call()
                taken[name].append((clock() - start) / counts[name])
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def serve(step: Callable[[], object], look: Callable[[object], object], steps: int) -> None:
    """A candidate's process: for each line that it reads, it runs a block of steps, looks at the last one's result, and
    prints a step's seconds."""
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(steps):
            result = step()
        look(result)
        print((time.perf_counter() - start) / steps, flush=True)


def turns(processes: dict[str, subprocess.Popen[str]], rounds: int) -> dict[str, float]:
    """Median seconds a step for each candidate, in a process of its own that `serve`s; they take turns, block by block.

    The order changes from round to round: some libraries' threads spin on for a while, into the next one's block.
    """
    times: dict[str, list[float]] = {name: [] for name in processes}
    order = random.Random(0)
    for _ in range(rounds):
        for name, process in order.sample(list(processes.items()), len(processes)):
            process.stdin.write("\n")
            process.stdin.flush()
            times[name].append(float(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {name: statistics.median(t) for name, t in times.items()}


def row(what: str, figures: dict[str, float], unit: float = 1e6, digits: int = 1) -> str:
    """A table row: the figures in 1/unit seconds and flambeau's ratio to torch's."""
    cells = " | ".join(f"{v * unit:.{digits}f}" for v in figures.values())
    ratio = figures["flambeau"] / figures["torch"] if "torch" in figures else float("nan")
    return f"| {what} | {cells} | {ratio:.2f} |"
