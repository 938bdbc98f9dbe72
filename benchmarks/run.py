"""The whole table with one command: training and inference, first steps cold and warm, memory; flambeau beside torch.

    pip install '.[test,bench]'
    python benchmarks/run.py                # prints tables; --write puts them into benchmarks/README.md, with a picture
    python benchmarks/run.py --only LeNet --only "GPT 4 x 256" --rounds 5

Each candidate lives in a process of its own; they take turns, a block of steps each (see `measure.py`). A first step is that of a new
process: cold with an empty cache, warm with the one that the cold process has filled. Memory is the peak of the process's resident
memory, less what it had before the network was made: over later steps, and over the first, with all that compiles. Losses of the
candidates must agree where nothing is drawn.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from measure import serve, turns
from networks import JOBS, training

CANDIDATES = {
    "torch eager": ("torch", False),
    "torch.compile": ("torch", True),
    "flambeau eager": ("flambeau", False),
    "flambeau compiled": ("flambeau", True),
}
GOALS = {  # compiled step, times torch eager
    "MLP 20-256-10": 0.25,
    "32 x (Linear 128, LN, GELU)": 0.38,
    "LeNet": 0.50,
    "GPT 4 x 256": 0.45,
    "AlexNet": 0.65,
    "ResNet34": 0.75,
    "LSTM 2 x 256": 0.70,
    "Transformer encoder 4 x 256": 0.50,
}
README = Path(__file__).with_name("README.md")
PICTURE = Path(__file__).with_name("steps.svg")
BEGIN, END = "<!-- run.py -->", "<!-- end of run.py -->"

# --- a candidate's process ------------------------------------------------------------------------------------------


def _memory(field: str) -> float:
    """MB of this process's resident memory: now (VmRSS), or at its peak (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def work(name: str, candidate: str, what: str) -> None:
    """Makes the network, takes first steps, tells of them in a line, then serves; at the end it tells of its memory."""
    library, compiled = CANDIDATES[candidate]
    lib = importlib.import_module(library)
    lib.ones(2).sum().item()
    before = _memory("VmRSS")
    model, step, forward, x, y = training(lib, name)
    if what == "inference":
        model.eval()
        lib.set_grad_enabled(False)
        call = lib.compile(model) if compiled else forward
        run, look = lambda: call(x), lambda result: result.sum().item()
    else:
        call = lib.compile(step) if compiled else step
        run, look = lambda: call(x, y), lambda loss: loss.item()
    start = time.perf_counter()
    results = [look(run())]
    first = time.perf_counter() - start
    results += [look(run()) for _ in range(2)]
    memory = _memory("VmHWM") - before
    with contextlib.suppress(OSError):  # the peak is counted anew from here; without Linux's switch it is that of all
        Path("/proc/self/clear_refs").write_text("5")
    print(json.dumps({"first": first, "results": results}), flush=True)
    serve(run, look, JOBS[name].block)
    print(json.dumps([_memory("VmHWM") - before, memory]), flush=True)


def start(name: str, candidate: str, what: str, cache: str | None) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """A candidate's process, and what it said of its first steps. `cache` is a folder for compiled programs, or None."""
    environment = dict(os.environ)
    if cache is not None:
        environment |= {"FLAMBEAU_CACHE": f"{cache}/flambeau", "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torch"}
    command = [sys.executable, __file__, "--work", json.dumps([name, candidate, what])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{candidate} failed for {name} ({what})")
    return process, json.loads(line)


# --- tables ---------------------------------------------------------------------------------------------------------


def candidates() -> list[str]:
    """Those that can run here: torch.compile needs a C++ compiler."""
    has_compiler = shutil.which(os.environ.get("CXX", "g++")) is not None
    return [name for name in CANDIDATES if has_compiler or name != "torch.compile"]


def steps(name: str, what: str, rounds: int) -> dict[str, tuple[float, list[float]]]:
    """(seconds a step, peak memory in MB of later steps and of the first) of each candidate."""
    processes, results = {}, {}
    for candidate in candidates():
        typer.echo(f"{name}, {what}: {candidate}", err=True)
        processes[candidate], said = start(name, candidate, what, None)
        results[candidate] = said["results"]
    drawn = what == "training" and name in ("AlexNet", "Transformer encoder 4 x 256")
    for candidate, found in results.items():
        reference = results["torch eager"]
        if not drawn and max(abs(a - b) / (abs(b) + 1) for a, b in zip(found, reference, strict=True)) > 1e-2:
            raise SystemExit(f"{name}, {what}: {candidate} gives {found}, torch {reference}")
    seconds = turns(processes, rounds)
    return {c: (seconds[c], json.loads(processes[c].stdout.readline())) for c in processes}


def firsts(name: str) -> dict[str, tuple[float, float]]:
    """Seconds of the first training step of each candidate, cold and warm."""
    found = {}
    for candidate in candidates():
        typer.echo(f"{name}, first step: {candidate}", err=True)
        with tempfile.TemporaryDirectory() as cache:
            times = []
            for _ in range(2):
                process, said = start(name, candidate, "training", cache)
                process.communicate()
                times.append(said["first"])
        found[candidate] = times[0], times[1]
    return found


def _table(title: str, figures: dict[str, dict[str, str]], goals: dict[str, float] | None = None) -> list[str]:
    names = candidates()
    lines = [f"| {title} | {' | '.join(names)} |" + (" goal, compiled |" if goals else "")]
    lines.append("|---" * (len(names) + 1 + bool(goals)) + "|")
    for name, cells in figures.items():
        goal = f" {goals[name]:.2f} |" if goals else ""
        lines.append(f"| {name} | {' | '.join(cells[c] for c in names)} |{goal}")
    return [*lines, ""]


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    flags = next((line for line in info.splitlines() if line.startswith("flags")), "").split()
    has = [name for flag, name in (("avx512f", "AVX-512"), ("amx_tile", "AMX")) if flag in flags]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("jax", "torch"))
    cores = len(os.sched_getaffinity(0))
    kind = f"{cores} cores of an {model}" + (f" ({', '.join(has)})" if has else "")
    return f"{datetime.date.today()}, {kind}, Python {platform.python_version()}, {versions}"


def _draw(ratios: dict[str, dict[str, float]]) -> None:
    """The training steps' ratios to torch eager as bars."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "flambeau"
    shown = [c for c in candidates() if c != "torch eager"]
    colors = {"torch.compile": "#9aa0a6", "flambeau eager": "#f6ad55", "flambeau compiled": "#dd6b20"}
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(ratios) + 1))
    for k, candidate in enumerate(shown):
        places = [i + 0.25 * (k - 1) for i in range(len(ratios))]
        axes.barh(places, [r[candidate] for r in ratios.values()], 0.23, label=candidate, color=colors[candidate])
    axes.axvline(1, color="#555", linewidth=1)
    axes.set_yticks(range(len(ratios)), list(ratios))
    axes.invert_yaxis()
    axes.set_xlabel("time of a training step, torch eager = 1")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.4, 1.14), ncols=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def main(
    only: Annotated[list[str] | None, typer.Option(help="Networks; all where not given.")] = None,
    rounds: Annotated[int, typer.Option(help="Blocks of steps of each candidate.")] = 9,
    write: Annotated[bool, typer.Option("--write", help="Put the tables into README.md, and draw steps.svg.")] = False,
    first: Annotated[bool, typer.Option("--first/--no-first", help="First steps in new processes.")] = True,
    work_on: Annotated[str | None, typer.Option("--work", hidden=True)] = None,
) -> None:
    """Measure, print Markdown."""
    if work_on is not None:
        work(*json.loads(work_on))
        return
    names = only or list(JOBS)
    tables: dict[str, dict[str, dict[str, str]]] = {"training": {}, "inference": {}, "memory": {}, "first": {}}
    ratios = {}
    for name in names:
        for what in ("training", "inference"):
            found = steps(name, what, rounds)
            base, memory = found["torch eager"]
            tables[what][name] = {c: f"{s * 1e3:.3f} ({s / base:.2f})" for c, (s, _) in found.items()}
            if what == "training":
                ratios[name] = {c: s / base for c, (s, _) in found.items()}
                tables["memory"][name] = {
                    c: f"{later:.0f} ({later / memory[0]:.2f}), {at_first:.0f}"
                    for c, (_, (later, at_first)) in found.items()
                }
        if first:
            tables["first"][name] = {c: f"{cold:.1f}, {warm:.1f}" for c, (cold, warm) in firsts(name).items()}
    lines = [f"### {_machine()}", "", "In brackets the ratio to torch eager; below 1 is faster, or smaller.", ""]
    lines += _table("training step (ms)", tables["training"], GOALS)
    lines += _table("inference (ms)", tables["inference"])
    lines += _table("peak memory of training (MB): later steps, first steps", tables["memory"])
    lines += _table("first training step (s): cold, warm", tables["first"]) if first else []
    typer.echo("\n".join(lines))
    if write:
        text = README.read_text()
        before, _, rest = text.partition(BEGIN)
        picture = f"![Training steps beside torch eager]({PICTURE.name})\n"
        README.write_text(f"{before}{BEGIN}\n" + "\n".join([*lines, picture]) + f"\n{END}{rest.partition(END)[2]}")
        _draw(ratios)


if __name__ == "__main__":
    typer.run(main)
