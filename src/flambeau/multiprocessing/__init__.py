"""Python's `multiprocessing`, with `spawn`, whose processes report their errors.

Tensors go through queues and pipes by value. A process that is forked after this one has computed can't compute: start others
by "spawn" or "forkserver".
"""

import contextlib
import multiprocessing
import sys
import threading
from multiprocessing import *
from typing import TYPE_CHECKING, Any

from ..core.dispatch.help import explain_namespace as _explain_namespace

# isort: off
from ..runtime.settings import asks_setting as _asks_setting, changes_setting as _changes_setting
from . import reductions as reductions
from .reductions import init_reductions as init_reductions
from .spawn import ENV_VAR_PARALLEL_START as ENV_VAR_PARALLEL_START, ProcessContext as ProcessContext
from .spawn import ProcessExitedException as ProcessExitedException, ProcessRaisedException as ProcessRaisedException
from .spawn import SpawnContext as SpawnContext, spawn as spawn
from .spawn import start_processes as start_processes
# isort: on

_all_sharing_strategies = {"file_descriptor", "file_system"}
_sharing_strategy = "file_descriptor"


def get_all_sharing_strategies() -> set[str]:
    """The names that `set_sharing_strategy` knows."""
    return set(_all_sharing_strategies)


@_asks_setting
def get_sharing_strategy() -> str:
    """What `set_sharing_strategy` was told."""
    return _sharing_strategy


@_changes_setting
def set_sharing_strategy(new_strategy: str) -> None:
    """Kept, for scripts that set it: tensors go from process to process by value. AssertionError for an unknown name."""
    global _sharing_strategy
    if new_strategy not in _all_sharing_strategies:
        known = ", ".join(map(repr, sorted(_all_sharing_strategies)))  # a set's own order is another in each process
        raise AssertionError(f"invalid sharing strategy {new_strategy!r}, expected one of {{{known}}}")
    _sharing_strategy = new_strategy


def _set_thread_name(name: str) -> None:
    """Name this thread, as the system's tools show it (15 letters of it, on Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:
            file.write(name)


def _get_thread_name() -> str:
    """The name of this thread that the system's tools show; empty where there is none."""
    if sys.platform != "linux":
        return ""
    with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
        return file.read().rstrip("\n")


init_reductions()


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(multiprocessing, name)


if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        *multiprocessing.__all__,
        "ENV_VAR_PARALLEL_START", "ProcessContext", "ProcessExitedException", "ProcessRaisedException", "SpawnContext",
        "get_all_sharing_strategies", "get_sharing_strategy", "init_reductions", "set_sharing_strategy", "spawn", "start_processes",
        "sys",
    ]  # fmt: skip

_explain_namespace(globals(), "torch.multiprocessing")
