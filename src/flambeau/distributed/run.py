"""The launcher: one process per rank, with the variables that torchrun sets. What one rank does to itself ends all of them.

`flambeau launch script.py`, or `python -m flambeau.distributed.run script.py` with torchrun's options.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..core.array.devices import jax_devices
from ..runtime.absent import refuse as _absent

__all__ = [
    "determine_local_world_size", "get_args_parser", "main", "parse_args", "parse_min_max_nnodes", "run", "run_script_path",
]  # fmt: skip

_NOT_THERE = {
    "tee": "the ranks write to the console, or with --redirects to files",
    "logs_specs": "use --redirects and --log-dir",
    "event_log_handler": "the launcher's messages go to the console",
    "numa_binding": "start the launcher under numactl",
    "virtual_local_rank": "read LOCAL_RANK",
    "duplicate_stdout_filters": "use --redirects",
    "duplicate_stderr_filters": "use --redirects",
}


def get_args_parser() -> argparse.ArgumentParser:
    """torchrun's options. Those that are not there say so when they are used."""
    parser = argparse.ArgumentParser(
        prog="flambeau launch", description="Run a script in several processes that work together."
    )

    def option(*names: str, **settings: Any) -> None:
        parser.add_argument(*names, *{"--" + n[2:].replace("-", "_") for n in names if "-" in n[2:]}, **settings)

    option("--nnodes", default="1", help="how many machines (a range is not there: N or N:N)")
    option("--nproc-per-node", default="1", help="processes on each: a number, auto, cpu or gpu")
    option(
        "--devices-in-process",
        type=int,
        default=0,
        help="that many ranks as threads of one process, each on a device of it",
    )
    option("--node-rank", type=int, default=None, help="this machine's number")
    option("--rdzv-backend", default="static", help="static or c10d: both mean the address of rank 0's machine")
    option("--rdzv-endpoint", default="", help="host:port where rank 0 listens")
    option("--rdzv-id", default="none", help="the job's name")
    option("--rdzv-conf", default="", help="taken and not needed")
    option("--master-addr", default="127.0.0.1", help="rank 0's machine")
    option("--master-port", type=int, default=29500, help="and port there")
    option("--local-addr", default=None, help="taken and not needed")
    option("--standalone", action="store_true", help="one machine, a free port")
    option(
        "--max-restarts",
        type=int,
        default=0,
        help="how often all ranks are started again after a failure (one machine)",
    )
    option("--monitor-interval", type=float, default=0.1, help="seconds between looks at the ranks")
    option("--start-method", default="spawn", help="taken: each rank is a new Python")
    option("--role", default="default", help="a name for the ranks")
    option("-m", "--module", action="store_true", help="the script is the name of a module")
    option("--no-python", action="store_true", help="the script is a program of any kind")
    option("--run-path", action="store_true", help="taken: the script is run as it would be without")
    option("--log-dir", default=None, help="a folder for --redirects")
    option(
        "-r", "--redirects", default="0", help="1, 2 or 3: stdout, stderr, both into files; or 0:3,1:1 by local rank"
    )
    option("-t", "--tee", default="0")
    option("--local-ranks-filter", default="", help="show only these local ranks on the console")
    option("--signals-to-handle", default="SIGTERM,SIGINT,SIGHUP,SIGQUIT", help="what is handed on to the ranks")
    option("--shutdown-timeout", type=float, default=None, help="seconds between SIGTERM and SIGKILL (30)")
    for name in (
        "logs_specs",
        "event_log_handler",
        "numa_binding",
        "duplicate_stdout_filters",
        "duplicate_stderr_filters",
    ):
        option("--" + name.replace("_", "-"), default=None)
    option("--virtual-local-rank", action="store_true")
    parser.add_argument("training_script", help="the script")
    parser.add_argument("training_script_args", nargs=argparse.REMAINDER, help="what it gets as sys.argv")
    return parser


def parse_args(args: list[str] | None) -> argparse.Namespace:
    """The options of a command line. Exits with a text for what is not there."""
    return checked(get_args_parser(), args)


def checked(parser: argparse.ArgumentParser, args: list[str] | None) -> argparse.Namespace:
    """What a parser reads. Exits with a text for what is not there."""
    found = parser.parse_args(args)
    for name, instead in _NOT_THERE.items():
        if getattr(found, name, None) not in (None, False, "0"):
            parser.error(f"--{name.replace('_', '-')} is not there: {instead}")
    return found


def _processes(asked: str) -> int:
    if asked.isdigit() and int(asked):
        return int(asked)
    if asked == "cpu":
        return os.cpu_count() or 1
    if asked in ("auto", "gpu"):
        gpus = len(jax_devices("cuda"))
        if asked == "gpu" and not gpus:
            raise ValueError("Cuda is not available.")
        return gpus or os.cpu_count() or 1
    raise ValueError(f"Unsupported nproc_per_node value: {asked}")


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _redirected(asked: str, local_rank: int) -> int:
    if ":" not in asked:
        return int(asked)
    by_rank = dict(part.split(":") for part in asked.split(","))
    return int(by_rank.get(str(local_rank), 0))


class _Job:
    """The ranks of this machine, from their start to their end."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        least, _, most = options.nnodes.partition(":")
        self.nodes = int(least)
        if most and most != least:
            raise ValueError(f"--nnodes {options.nnodes}: machines that come and go are not there; give one number")
        self.local = _processes(options.nproc_per_node)
        self.threads = getattr(options, "devices_in_process", 0)
        if self.threads < 0 or (self.threads and (self.nodes, self.local) != (1, 1)):
            raise ValueError("--devices-in-process N is for one process: its N ranks are threads (N at least 1)")
        if self.threads and not getattr(options, "use_env", True):
            raise ValueError(
                "--devices-in-process gives all ranks the same sys.argv: it needs --use-env, and LOCAL_RANK in the script"
            )
        if self.threads and options.no_python:
            raise ValueError("--devices-in-process runs a script of Python: it can't be with --no-python")
        if options.standalone and self.nodes != 1:
            raise ValueError("--standalone is for one machine: --nnodes 1")
        if self.nodes > 1 and options.node_rank is None:
            raise ValueError("with several machines each is told its number: --node-rank 0 on the first, and so on")
        if self.nodes > 1 and options.max_restarts:
            raise ValueError("--max-restarts is there for one machine only")
        self.node = options.node_rank or 0
        self.attempt = 0
        self.ranks: list[subprocess.Popen[bytes]] = []
        self.stopping: int | None = None
        self._own: tempfile.TemporaryDirectory[str] | None = None
        grace = os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "30")
        self.grace = float(grace) if options.shutdown_timeout is None else options.shutdown_timeout

    def address(self) -> tuple[str, int]:
        """Where rank 0 listens."""
        options = self.options
        if options.standalone or (self.nodes == 1 and options.rdzv_backend != "static" and not options.rdzv_endpoint):
            return "127.0.0.1", _free_port()
        if not options.rdzv_endpoint:
            return options.master_addr, options.master_port
        host, _, port = (
            options.rdzv_endpoint.rpartition(":") if ":" in options.rdzv_endpoint else (options.rdzv_endpoint, "", "")
        )
        return host, int(port) if port and port != "0" else _free_port() if self.nodes == 1 else 29500

    def environment(self, local_rank: int, address: tuple[str, int]) -> dict[str, str]:
        """torchrun's variables for one rank."""
        options = self.options
        world = self.nodes * self.local
        made = dict(os.environ)
        if self.local > 1:
            made.setdefault("OMP_NUM_THREADS", "1")
        values = {
            "RANK": self.node * self.local + local_rank, "LOCAL_RANK": local_rank, "GROUP_RANK": self.node,
            "ROLE_RANK": self.node * self.local + local_rank, "ROLE_NAME": options.role, "WORLD_SIZE": world,
            "LOCAL_WORLD_SIZE": self.local, "GROUP_WORLD_SIZE": self.nodes, "ROLE_WORLD_SIZE": world,
            "MASTER_ADDR": address[0], "MASTER_PORT": address[1], "TORCHELASTIC_RUN_ID": self.options.rdzv_id,
            "TORCHELASTIC_RESTART_COUNT": self.attempt, "TORCHELASTIC_MAX_RESTARTS": options.max_restarts,
            "TORCHELASTIC_USE_AGENT_STORE": False,  # rank 0 has it, and not the launcher
            "TORCHELASTIC_ERROR_FILE": self.folder(local_rank) / "error.json",
            "TORCHELASTIC_SIGNALS_TO_HANDLE": options.signals_to_handle,
        }  # fmt: skip
        return made | {name: str(value) for name, value in values.items()}

    def command(self, local_rank: int) -> list[str]:
        """What a rank runs."""
        options = self.options
        told = [] if getattr(options, "use_env", True) else [f"--local-rank={local_rank}"]  # as before torchrun
        if options.no_python:
            return [options.training_script, *told, *options.training_script_args]
        runner = [sys.executable, "-u", "-m", "flambeau", "run"]
        if self.threads:
            runner = [sys.executable, "-u", "-m", "flambeau.cli.ranks", str(self.threads)]
        return [
            *runner,
            *(["-m"] if options.module else []),
            options.training_script,
            *told,
            *options.training_script_args,
        ]

    def folder(self, local_rank: int) -> Path:
        """Where a rank's files are. Without a folder for them, and without `--redirects`, they are gone when the job ends."""
        options = self.options
        if options.log_dir or options.redirects != "0":
            root = Path(options.log_dir or f"torchelastic_{options.rdzv_id}")
        else:
            self._own = self._own or tempfile.TemporaryDirectory(prefix="torchelastic_")
            root = Path(self._own.name)
        made = root.absolute() / f"attempt_{self.attempt}" / str(local_rank)
        made.mkdir(parents=True, exist_ok=True)
        return made

    def written(self, local_rank: int) -> str:
        """What a rank has written down of its error (`record`)."""
        try:
            told = json.loads((self.folder(local_rank) / "error.json").read_text())["message"]
            return f": {told['message'] if isinstance(told, dict) else told}"
        except (OSError, ValueError, KeyError):
            return ""

    def streams(self, local_rank: int) -> dict[str, Any]:
        """Where a rank writes to."""
        options = self.options
        shown = [int(r) for r in options.local_ranks_filter.split(",") if r]
        made: dict[str, Any] = {}
        chosen = _redirected(options.redirects, local_rank)
        for bit, name in ((1, "stdout"), (2, "stderr")):
            if chosen & bit:
                file = self.folder(local_rank) / f"{name}.log"
                made[name] = open(file, "wb")  # noqa: SIM115 (closed once the rank has it)
            elif shown and local_rank not in shown:
                made[name] = subprocess.DEVNULL
        return made

    def start(self) -> None:
        """Start all ranks of this machine."""
        address = self.address()
        for local_rank in range(self.local):
            streams = self.streams(local_rank)
            self.ranks.append(
                subprocess.Popen(
                    self.command(local_rank), env=self.environment(local_rank, address), start_new_session=True,
                    preexec_fn=_end_with_parent, **streams,
                )
            )  # fmt: skip
            for stream in streams.values():
                if stream is not subprocess.DEVNULL:
                    stream.close()

    def failed(self) -> list[int]:
        """Wait for all of them, or for the first that fails: the local ranks that have failed."""
        while self.stopping is None:
            codes = [rank.poll() for rank in self.ranks]
            if found := [i for i, code in enumerate(codes) if code]:
                return found
            if all(code == 0 for code in codes):
                return []
            time.sleep(min(self.options.monitor_interval, 0.1))
        return []

    def end(self, number: int) -> None:
        """End what still runs, and everything that the ranks have started."""
        for rank in self.ranks:
            if rank.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(rank.pid, number)
        until = time.monotonic() + self.grace
        while any(rank.poll() is None for rank in self.ranks) and time.monotonic() < until:
            time.sleep(0.02)
        for rank in self.ranks:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(rank.pid, signal.SIGKILL)
            rank.wait()

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """A signal came: it is handed on; the second one does not wait."""
        if self.stopping is not None:
            self.grace = 0.0
        self.stopping = number


def _end_with_parent() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed launcher leaves no ranks behind


def _what_happened(job: _Job, failed: list[int]) -> str:
    lines = []
    for local_rank in failed:
        process = job.ranks[local_rank]
        code = process.returncode
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        rank, told = job.node * job.local + local_rank, job.written(local_rank)
        lines.append(
            f"flambeau launch: rank {rank} (local rank {local_rank}, process {process.pid}) failed: {how}{told}"
        )
    others = job.local - len(failed)
    if others:
        lines.append(f"flambeau launch: the other {others} of this machine's {job.local} ranks were ended")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """Start the ranks and wait for them. Exits with 1 if one fails, after its traceback, with 128 + n after signal n."""
    if args.standalone:
        args.rdzv_id = uuid.uuid4().hex
    job = _Job(args)
    handled = [getattr(signal, name.strip()) for name in args.signals_to_handle.split(",") if name.strip()]
    before = {number: signal.signal(number, job.signalled) for number in handled}
    failed: list[int] = []
    try:
        while True:
            job.start()
            failed = job.failed()
            job.end(job.stopping or signal.SIGTERM)
            if not failed or job.stopping is not None or job.attempt == args.max_restarts:
                break
            print(_what_happened(job, failed), f"flambeau launch: restart {job.attempt + 1}", sep="\n", file=sys.stderr)
            job.attempt, job.ranks = job.attempt + 1, []
    finally:
        job.end(signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)
    if job.stopping is not None:
        sys.exit(128 + job.stopping)
    if failed:
        print(_what_happened(job, failed), file=sys.stderr)
        sys.exit(1)


def main(args: list[str] | None = None) -> None:
    """The command line."""
    started(parse_args, args)


def started(parse: Callable[[list[str] | None], argparse.Namespace], args: list[str] | None) -> None:
    """Run what a command line asks for. Exits with a text for what is not there."""
    try:
        run(parse(args))
    except ValueError as error:
        _refuse(str(error))


def _refuse(text: str) -> NoReturn:
    print(f"flambeau launch: {text}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()


def parse_min_max_nnodes(nnodes: str) -> tuple[int, int]:
    """The least and the most machines of `"3"` or `"1:4"`. RuntimeError for other forms."""
    parts = [int(part) for part in nnodes.split(":")] if nnodes.count(":") < 2 else []
    if not parts:
        raise RuntimeError(f'nnodes={nnodes} is not in "MIN:MAX" format')
    return parts[0], parts[-1]


def determine_local_world_size(nproc_per_node: str) -> int:
    """How many processes a number, `auto`, `cpu` or `gpu` means on this machine. ValueError for other words, or without a GPU."""
    return _processes(nproc_per_node)


def run_script_path(training_script: str, *training_script_args: str) -> None:
    """Run a script within this process, with these arguments."""
    sys.argv = [training_script, *training_script_args]
    runpy.run_path(training_script, run_name="__main__")


_absent(
    globals(),
    "torchrun's own parts are not here; flambeau launch starts processes, watches and ends them",
    "config_from_args get_rdzv_endpoint get_use_env ",
)
