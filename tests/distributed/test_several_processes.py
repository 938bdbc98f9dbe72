"""Groups of several processes, started by `flambeau launch`: one launch, in which the ranks check many things."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flambeau.distributed.checkpoint import FileSystemReader
from flambeau.distributed.checkpoint.format_utils import everything

HERE = Path(__file__).parent
CHECKS = """
reductions moves uneven_exchange messages objects groups handles disagreement one_process_and_many
one_process_and_many_by_all_options averaged_gradients buffers_of_averaged_models
gradients_of_collectives in_a_compiled_function compiled_forward_passes one_program_of_all_ranks errors_of_one_rank meshes
""".split()
OF_TENSORS = """
tensors sums_still_to_be_made placements_after_operators unlike_cuts_and_writes unequal_parts checks_of_values
a_gpt_fully_sharded fully_sharded_in_unequal_parts checkpoints what_is_sent what_is_held a_pipeline averages_of_models
a_pipeline_of_several_stages_in_each_process attention_over_a_sequence_that_is_cut
parameters_that_come_after_a_step
checkpointed_and_sharded one_program_of_what_is_cut one_program_without_the_optimizer
what_no_process_uses_has_no_gradient parameters_of_two_kinds_in_one_optimizer one_program_of_copies_and_parts counted_collectives
gradients_as_two_factors a_compiled_step_holds_one_block own_parts_of_outputs device_ids_on_a_cpu
replicated_without_a_wrapper averages_over_groups_of_several_sizes queues_of_the_groups_store
collectives_in_profiles methods_of_groups gradients_kept_from_passes_without_sync sparse_sums
a_monitored_barrier_names_who_does_something_else copies_of_unequal_parts what_is_not_copied
parts_of_a_group pipelines_in_halves wrong_peers_and_roots one_element_in_one_process
unequal_parts_of_what_takes_squares values_that_parts_do_not_tell images_that_are_cut
state_dicts_count_steps_in_plain_tensors a_side_of_one_process groups_without_this_process one_program_of_layers_that_are_cut
draws_that_are_cut looks_at_unequal_parts failures_of_checkpoints planners_of_ones_own
settings_of_single_wrapped_modules gradients_of_two_kinds_are_not_clipped
""".split()


def launched(n: int, script: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "flambeau",
        "launch",
        "--nproc-per-node",
        str(n),
        "--standalone",
        script,
        *arguments,
    ]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **settings}
    )


def results(
    n: int, folder: Path, program: str = "rank_program.py", names: tuple[str, ...] = (), **settings: str
) -> list[dict[str, str]]:
    process = launched(n, str(HERE / program), str(folder), *names, **settings)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(n)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """One launch for all: starting is what takes long."""
    names = (*OF_TENSORS, *CHECKS)  # a group that one rank makes alone comes after those that all make
    return results(
        2, tmp_path_factory.mktemp("two"), "further_program.py", names, STEPS="3", TORCH_DISTRIBUTED_DEBUG="DETAIL"
    )


@pytest.mark.parametrize("name", [*CHECKS, *OF_TENSORS])
def test_two_ranks(two: list[dict[str, str]], name: str) -> None:
    for rank, found in enumerate(two):
        assert found[name] == "", f"rank {rank}: {found[name]}"


def test_all_checks_are_listed() -> None:
    assert re.findall(r"@check\ndef (\w+)", (HERE / "rank_program.py").read_text()) == CHECKS


@pytest.mark.slow
def test_four_ranks(tmp_path: Path) -> None:
    for found in results(4, tmp_path, ALL_OPTIONS="1"):
        assert {name: text for name, text in found.items() if text} == {}


@pytest.mark.slow
def test_a_hundred_steps(tmp_path: Path) -> None:
    """Losses stay those of one process."""
    names = ("a_resnet", "a_gpt_fully_sharded", "a_gpt_by_layers")
    for found in results(2, tmp_path, "mesh_program.py", tuple(names), STEPS="100"):
        assert found == dict.fromkeys(names, "")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_all_ways_to_cut(tmp_path: Path, n: int) -> None:
    for found in results(n, tmp_path, "mesh_program.py", STEPS="20"):
        assert len(found) > 7 and {name: text for name, text in found.items() if text} == {}


DYING = """
import os, sys, time
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
dist.barrier()
print("together", os.getpid(), flush=True)
if dist.get_rank() == 1:
    if sys.argv[1] == "raise":
        raise ValueError("rank one gives up")
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), 9)
dist.all_reduce(torch.ones(1)) if sys.argv[1] != "wait" else time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has asked for does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "kill"])
def test_a_rank_that_dies_ends_the_others(tmp_path: Path, how: str) -> None:
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    started = time.monotonic()
    process = launched(2, str(script), how)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and time.monotonic() - started < 40
    wanted = ["ValueError: rank one gives up", "rank 1", "exit code 1"] if how == "raise" else ["rank 1", "SIGKILL"]
    assert all(text in errors for text in wanted), errors
    pids = [int(line.split()[1]) for line in output.splitlines() if line.startswith("together")]
    assert len(pids) == 2 and not any(map(alive, pids))


def test_two_processes_of_rank_0() -> None:
    """The second one is told; JAX would end both."""
    program = 'import torch.distributed as dist; dist.init_process_group("gloo", rank=0, world_size=2)'
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as the service listens
        other.bind(("", 0))
        other.listen()
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(other.getsockname()[1])}
        command = [sys.executable, "-c", program.replace("torch", "flambeau")]
        process = subprocess.run(command, text=True, capture_output=True, timeout=100, env={**os.environ, **place})
    assert process.returncode == 1 and "another process with RANK=0" in process.stderr
    assert "name: EADDRINUSE, message: address already in use" in process.stderr


WRITTEN_DOWN = """
import json, os
from pathlib import Path
from torch.distributed.elastic.multiprocessing.errors import record

@record
def main():
    names = ("USE_AGENT_STORE", "SIGNALS_TO_HANDLE", "ERROR_FILE")
    print(*[os.environ["TORCHELASTIC_" + name] for name in names])
    raise ValueError("written down")

main()
"""


@pytest.mark.parametrize("kept", [False, True])
def test_an_error_that_is_written_down(tmp_path: Path, kept: bool) -> None:
    """The launcher names the file, and tells what is in it."""
    script = tmp_path / "recorded.py"
    script.write_text(WRITTEN_DOWN)
    options = [
        "--standalone",
        "--signals-to-handle",
        "SIGTERM",
        *(["--log-dir", str(tmp_path / "logs")] if kept else []),
    ]
    command = [sys.executable, "-m", "flambeau", "launch", *options, str(script)]
    process = subprocess.run(command, text=True, capture_output=True, timeout=100)
    store, signals, name = process.stdout.split()
    assert process.returncode == 1 and "exit code 1: ValueError: written down" in process.stderr
    assert (store, signals) == ("False", "SIGTERM") and Path(name).exists() is kept
    assert not kept or Path(name) == tmp_path / "logs" / "attempt_0" / "0" / "error.json"


STANDING_STILL = """
import os, signal, threading
from datetime import timedelta
import torch
import torch.distributed as dist
dist.init_process_group("gloo", timeout=timedelta(seconds=8))
x = torch.ones(1_000_000)
dist.all_reduce(x)
if dist.get_rank() == 1:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGSTOP)).start()
while True:
    dist.all_reduce(x)
"""


@pytest.mark.slow
def test_a_rank_that_stands_still(tmp_path: Path) -> None:
    """In whatever it stands still, the others give up after the group's time."""
    script = tmp_path / "standing.py"
    script.write_text(STANDING_STILL)
    process = launched(2, str(script), TORCH_ELASTIC_SHUTDOWN_TIMEOUT="1")
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "DistBackendError: [Rank 0]: all_reduce" in errors or "Timed out waiting 8000ms for rank 1" in errors, errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_ends_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(DYING)
    process = launched(2, str(script), "wait")
    assert process.stdout is not None
    pids: list[int] = []
    while len(pids) < 2:
        line = process.stdout.readline()
        assert line, process.communicate()
        pids += [int(line.split()[1])] if line.startswith("together") else []
    process.send_signal(number)
    process.communicate(timeout=40)
    time.sleep(0.5)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number) and not any(map(alive, pids))


SAVING = """
import sys
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.tensor import Shard, init_device_mesh, distribute_tensor
dist.init_process_group("gloo")
mesh, rank, start = init_device_mesh("cpu", (2,)), dist.get_rank(), int(sys.argv[2])
for step in range(start, start + 300):
    many = {f"w{i}": distribute_tensor(torch.full((64, 500), float(step)), mesh, [Shard(0)]) for i in range(8)}
    dcp.save({"many": many, "step": step}, checkpoint_id=sys.argv[1])
    if rank == 0:
        print("saved", step, flush=True)
"""


@pytest.mark.slow
def test_a_killed_save_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """Killed at any moment, what is read is one whole checkpoint: the last that was said to be saved, or the one after it."""
    script, folder = tmp_path / "saving.py", tmp_path / "checkpoint"
    script.write_text(SAVING)
    chance = random.Random(0)
    for start in (0, 10_000, 20_000):
        process = launched(2, str(script), str(folder), str(start))
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(f"saved {start + 2}"):
            assert line, process.communicate()
        time.sleep(0.2 * chance.random())
        process.kill()
        last = int([line, *process.communicate(timeout=40)[0].splitlines()][-1].split()[-1])
        time.sleep(0.5)
        found = everything(FileSystemReader(folder))
        assert found["step"] in (last, last + 1) and last > start
        assert all((w == found["step"]).all() and w.shape == (64, 500) for w in found["many"].values())
        read = {entry.file for tensor in FileSystemReader(folder).read_metadata().state_dict_metadata.values()
                for entry in getattr(tensor, "chunks", [])}  # fmt: skip
        assert len(read) == 2


TOLD = """
import os
import torch.distributed as dist
dist.init_process_group("gloo")
if os.environ.get("FAILS") and dist.get_rank() == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    raise SystemExit(3)
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "TORCHELASTIC_RESTART_COUNT")
dist.barrier()
print("told", *[os.environ[name] for name in names], flush=True)
dist.destroy_process_group()
"""


def told(output: str) -> list[str]:
    return sorted(line for line in output.splitlines() if line.startswith("told"))


@pytest.mark.slow
def test_ranks_that_fail_are_started_again(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(TOLD)
    command = [
        sys.executable,
        "-m",
        "flambeau",
        "launch",
        "--nproc-per-node",
        "2",
        "--standalone",
        "--max-restarts",
        "1",
    ]
    environment = {**os.environ, "FAILS": "1"}
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0 and "restart 1" in done.stderr, done.stderr
    assert told(done.stdout) == ["told 0 2 0 0 1", "told 1 2 1 0 1"]


@pytest.mark.slow
def test_several_machines(tmp_path: Path) -> None:
    script = tmp_path / "machines.py"
    script.write_text(TOLD)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "flambeau", "launch", "--nnodes", "2", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    started = [
        subprocess.Popen([*command, "--node-rank", str(number), str(script)], text=True, stdout=subprocess.PIPE)
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=100)[0] for process in started]
    assert [told(output) for output in outputs] == [["told 0 2 0 0 0"], ["told 1 2 0 1 0"]]


COMPARED = """
import json, os, sys
from datetime import timedelta
import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=timedelta(seconds=30))
rank, found = dist.get_rank(), {}
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(
    torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).double())
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
data = torch.utils.data.TensorDataset(torch.randn(22, 4, dtype=torch.float64), torch.randn(22, 1, dtype=torch.float64))
sampler = torch.utils.data.distributed.DistributedSampler(data)
found["losses"] = []
for epoch in range(2):
    sampler.set_epoch(epoch)
    for x, y in torch.utils.data.DataLoader(data, batch_size=4, sampler=sampler):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        found["losses"].append(loss.item())
found["state"] = {k: v.tolist() for k, v in model.state_dict().items()}
found["text"] = repr(model)
found["names"] = [dist.get_backend(), dist.get_world_size(), dist.get_backend_config(), str(dist.ReduceOp.SUM)]
dist.barrier()
with open(sys.argv[1] + f"/{rank}.json", "w") as file:
    json.dump(found, file)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_as_torchrun(tmp_path: Path) -> None:
    """One unmodified script, run by torchrun and by `flambeau launch`."""
    script = tmp_path / "script.py"
    script.write_text(COMPARED)
    found = []
    for module in (["torch.distributed.run"], ["flambeau", "launch"]):
        folder = tmp_path / module[0]
        folder.mkdir()
        options = ["--nproc-per-node", "2", "--master-port", "29717", str(script), str(folder)]
        done = subprocess.run([sys.executable, "-m", *module, *options], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append([json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)])
    for theirs, ours in zip(*found, strict=True):
        assert ours["text"] == theirs["text"] and ours["names"] == theirs["names"]
        assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-10)
        for name, value in theirs["state"].items():
            assert sum_of(ours["state"][name]) == pytest.approx(sum_of(value), rel=1e-9, abs=1e-12), name


def sum_of(value: object) -> list[float]:
    return [x for part in value for x in sum_of(part)] if isinstance(value, list) else [float(value)]  # type: ignore[arg-type]
