"""What a launcher is told about binding. Nothing here starts processes by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["AffinityMode", "NumaOptions"]


class AffinityMode(str, Enum):  # noqa: UP042  (its text is that of the class, as in PyTorch)
    """What the processes of one machine are bound to."""

    NODE = "node"
    SOCKET = "socket"
    EXCLUSIVE = "exclusive"
    CORE_COMPLEX = "core-complex"


@dataclass(frozen=True)
class NumaOptions:
    """How processes are to be bound, and whether they run unbound where that fails."""

    affinity_mode: AffinityMode
    should_fall_back_if_binding_fails: bool = False
