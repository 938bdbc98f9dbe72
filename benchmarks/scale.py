"""What data, fully sharded and tensor parallel training send: counted in steps of small models, and modelled for up to 1,024 devices.

`python benchmarks/scale.py` prints the tables of docs/scale.md. The counts are of real steps of two processes and of a program
compiled for eight virtual devices; the rest is a roofline model, whose numbers are the assumptions below and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

COUNTED = """
import collections
import torch
import torch.distributed as dist
from flambeau.processes import exchange
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

calls, sizes, plain = collections.Counter(), collections.Counter(), exchange.Exchange.together

def together(self, pattern, value, *rest, **named):
    made = plain(self, pattern, value, *rest, **named)
    if self.n > 1 and value is not None:
        calls[pattern.name] += 1
        sizes[pattern.name] += max(made.nbytes, value.nbytes)
    return made

exchange.Exchange.together = together
dist.init_process_group("gloo")

def blocks():
    return nn.Sequential(*[nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)) for _ in range(4)])

def sharded(again):
    model = blocks()
    for block in model:
        fully_shard(block, reshard_after_forward=again)
    return fully_shard(model, reshard_after_forward=again)

size = sum(p.nbytes for p in blocks().parameters())
ways = {"DDP": DistributedDataParallel(blocks()), "FSDP": sharded(True)}
for name, model in ways.items():
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        calls.clear(), sizes.clear()
        model(torch.ones(8, 64)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    if dist.get_rank() == 0:
        for what in calls:
            print("row", name, what, calls[what], sizes[what], size, sep="|", flush=True)
tensors = [*model.parameters(), *(t for s in optimizer.state.values() for t in s.values() if t.ndim)]
if dist.get_rank() == 0:
    held = sum(t.to_local().nbytes for t in tensors)
    print("held", held, sum(t.nbytes for t in tensors), sep="|", flush=True)
dist.destroy_process_group()
"""

TENSOR = """
import flambeau as torch
from flambeau import nn
from flambeau.distributed import init_device_mesh
from flambeau.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

model = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64), nn.LayerNorm(64))
parallelize_module(model, init_device_mesh("cpu", (8,)), {"1": ColwiseParallel(), "3": RowwiseParallel()})

@torch.compile
def step(x):
    loss = model(x).square().sum()
    loss.backward()
    return loss.detach()

step(torch.ones(16, 64))
"""


def counted() -> list[str]:
    """Rows of what steps really send, beside what theory says."""
    rows = ["| step | collective | calls | bytes | theory |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text(COUNTED)
        launch = [sys.executable, "-m", "flambeau", "launch", "--nproc-per-node", "2", "--standalone", str(script)]
        found = subprocess.run(launch, check=True, capture_output=True, text=True).stdout.splitlines()
        for _, name, what, calls, size, whole in (line.split("|") for line in found if line.startswith("row|")):
            twice = (name, what) == ("FSDP", "all_gather")  # forwards, and again backwards
            wanted = f"{int(whole) * (1 + twice):,} (the parameters{', twice' if twice else ''})"
            rows.append(f"| {name}, 4 blocks | {what} | {calls} | {int(size):,} | {wanted} |")
        held, whole = next(line.split("|")[1:] for line in found if line.startswith("held|"))
        rows.append(
            f"\nParameters and Adam's state under FSDP: {int(held):,} of {int(whole):,} bytes in each of 2 processes."
        )
        rows[-1:-1] = _of_the_program(Path(folder))
    return rows


def _of_the_program(folder: Path) -> list[str]:
    """Rows of the collectives in a compiled program of one tensor parallel block, as XLA wrote it."""
    script, dump = folder / "tensor.py", folder / "dump"
    script.write_text(TENSOR)
    flags = f"--xla_force_host_platform_device_count=8 --xla_dump_to={dump} --xla_dump_hlo_as_text"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, capture_output=True)
    program = max(dump.glob("*after_optimizations.txt"), key=lambda path: path.stat().st_size).read_text()
    kinds = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    rows = []
    for shapes, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", program):
        size = 0
        for dims in re.findall(r"f32\[([\d,]*)\]", shapes):
            count = 4
            for n in dims.split(",") if dims else []:
                count *= int(n)
            size += count
        rows.append(f"| tensor parallel block, 16 x 64 | {kind} | 1 | {size:,} | {16 * 64 * 4:,} (the activations) |")
    return rows


@dataclass(frozen=True)
class Machine:
    """Assumed: operations per second reached in products, and bytes per second that one device sends in a ring."""

    operations: float = 400e12  # bfloat16, some 40% of the peak of an H100
    within: float = 450e9  # NVLink 4, one direction
    between: float = 50e9  # one 400 Gb/s adapter for each device
    node: int = 8
    latency: float = 5e-6  # a step of a ring within a node, and of a tree between them


@dataclass(frozen=True)
class Model:
    """A GPT: parameters in its blocks 12 layers width^2; 16 bytes for each (two copies, gradient, Adam's two moments)."""

    layers: int = 32
    width: int = 4096
    tokens: int = 8192  # on each device (for tensor parallelism: in each group of 8, eight times as many)

    @property
    def parameters(self) -> int:
        return 12 * self.layers * self.width**2


def passed(size: float, n: int, machine: Machine) -> float:
    """Seconds in which `size` bytes are gathered by (or scattered over) n devices. A node's devices send at once, each by its own
    adapter, so that between nodes a node sends `node * between`."""
    if n == 1:
        return 0.0
    speed = machine.within if n <= machine.node else min(machine.within, machine.node * machine.between)
    return size * (n - 1) / n / speed + machine.latency * (
        min(n, machine.node) + max(n // machine.node, 1).bit_length()
    )


def row(way: str, n: int, model: Model, machine: Machine) -> str:
    """One row of the table: seconds of computing and of sending in a step, and what is left of the speed."""
    compute = 6 * model.parameters * model.tokens / machine.operations
    size, layers = 2.0 * model.parameters, model.layers
    if way == "DDP":
        sent = 2 * passed(size, n, machine)
        held = 16.0 * model.parameters
    elif way == "FSDP":
        sent = 2 * layers * passed(size / layers, n, machine)
        held = 16 * model.parameters / n + size
    else:
        side = machine.node
        activations = 2.0 * model.tokens * side * model.width
        sent = 2 * 4 * layers * passed(activations, side, machine)  # an all-reduce: two passes, four of them in a block
        apart = Machine(machine.operations, machine.between, machine.between, 1, machine.latency)
        sent += 2 * layers * passed(size / side / layers, n // side, apart)
        held = 16 * model.parameters / n + size / side
    return (
        f"| {way} | {n:,} | {compute:.3f} | {sent:.3f} | {compute / (compute + sent):.2f} | {compute / max(compute, sent):.2f} "
        f"| {held / 2**30:.1f} |"
    )


def modelled() -> list[str]:
    """The table for 8 to 1,024 devices."""
    rows = [
        "| way | devices | computing (s) | sending (s) | efficiency, one after the other | efficiency, both at once | GiB on a device |",
        "|---|---|---|---|---|---|---|",
    ]
    sizes = [8 * 2**i for i in range(8)]
    return rows + [row(way, n, Model(), Machine()) for way in ("DDP", "FSDP", "tensor 8 x FSDP") for n in sizes]


if __name__ == "__main__":
    print("\n".join([*counted(), "", *modelled()]))
