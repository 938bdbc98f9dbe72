"""Names of PyTorch's machinery under process groups: what can be had of it, and what says that it can't."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..autograd.profiler import record_function
from ..processes.groups import ProcessGroup, get_process_group_ranks, get_world_size

__all__ = ["Logger", "ProcessGroupGloo", "Reducer", "record_comm", "shrink_group"]


def _refused(name: str, instead: str) -> type:
    """A class for `isinstance` to ask for, of which no object can be made."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"torch.distributed.{name} is a part of libtorch, which is not here: {instead}")

    doc = f"Raises NotImplementedError: {instead}."
    return type(name, (), {"__init__": __init__, "__module__": __name__, "__doc__": doc})


Logger: Any = _refused("Logger", "DistributedDataParallel counts nothing in one; use torch.profiler")
Reducer: Any = _refused("Reducer", "DistributedDataParallel joins gradients in buckets itself")
ProcessGroupGloo: Any = _refused("ProcessGroupGloo", "init_process_group and new_group make groups")


@contextlib.contextmanager
def record_comm(name: str) -> Iterator[None]:
    """Inside the block collectives stand under `name` in `torch.profiler`, as in a `record_function`."""
    with record_function(name):
        yield


def shrink_group(
    ranks_to_exclude: list[int], group: ProcessGroup | None = None, shrink_flags: int = 0, pg_options: Any = None
) -> ProcessGroup:
    """Refused (NotImplementedError): a process that has died ends JAX's runtime in all. ValueError for ranks that are not there."""
    if not isinstance(ranks_to_exclude, list):
        raise TypeError(f"ranks_to_exclude must be a list, but got {type(ranks_to_exclude).__name__}")
    if not ranks_to_exclude:
        raise ValueError("ranks_to_exclude cannot be empty: it names the ranks that are to leave the group")
    if get_world_size(group) < 2:
        raise ValueError(
            "Cannot shrink a process group with size 1. Group must have at least 2 ranks to support shrinking."
        )
    known = set(range(len(get_process_group_ranks(group)))) if group is not None else set(range(get_world_size()))
    if strange := set(ranks_to_exclude) - known:
        raise ValueError(f"ranks_to_exclude names ranks that the group does not have: {sorted(strange)}")
    raise NotImplementedError(
        "torch.distributed.shrink_group: JAX's runtime ends in all processes when one has died. End the job and launch it again; "
        "new_group([...]) makes a group of ranks that are all alive"
    )
