"""Settings of collectives as objects, and how much is checked and said: names that programs ask for."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NewType

from .groups import ReduceOp

GroupName = NewType("GroupName", str)
_UNSET = timedelta(milliseconds=-1000)


@dataclass(init=False)
class _Options:
    timeout: timedelta = _UNSET
    asyncOp: bool = True

    def __init__(self) -> None:
        for setting in fields(self):
            setattr(self, setting.name, [] if setting.name == "device_ids" else setting.default)


@dataclass(init=False)
class AllreduceOptions(_Options):
    """Of `ProcessGroup.allreduce`."""

    reduceOp: Any = ReduceOp.SUM


@dataclass(init=False)
class AllreduceCoalescedOptions(AllreduceOptions):
    """Of the same for several tensors."""


@dataclass(init=False)
class ReduceScatterOptions(AllreduceOptions):
    """Of `ProcessGroup.reduce_scatter`."""


@dataclass(init=False)
class ReduceOptions(AllreduceOptions):
    """Of `ProcessGroup.reduce`."""

    rootRank: int = 0
    rootTensor: int = 0


@dataclass(init=False)
class BroadcastOptions(_Options):
    """Of `ProcessGroup.broadcast`."""

    rootRank: int = 0
    rootTensor: int = 0


@dataclass(init=False)
class GatherOptions(_Options):
    """Of `ProcessGroup.gather`."""

    rootRank: int = 0


@dataclass(init=False)
class ScatterOptions(GatherOptions):
    """Of `ProcessGroup.scatter`."""


@dataclass(init=False)
class AllToAllOptions(_Options):
    """Of `ProcessGroup.alltoall`."""


@dataclass(init=False)
class BarrierOptions(_Options):
    """Of `ProcessGroup.barrier`."""

    device_ids: list[int] = field(default_factory=list)
    device: Any = None


_NO_BACKEND = "The custom backend string argument is invalid: "


class BackendConfig:
    """Which backend serves which kind of device: `gloo`, or `cpu:gloo,cuda:nccl`. ValueError for other forms."""

    def __init__(self, backend: Any):
        text = str(backend)
        pairs = [part.split(":") for part in text.split(",")] if ":" in text else [["cpu", text], ["cuda", text]]
        self.device_backend_map: dict[str, str] = {}
        for pair in pairs:
            if len(pair) != 2:
                raise ValueError(f"Invalid device:backend pairing: {':'.join(pair)}. {_NO_BACKEND}{text}.")
            if pair[0] in self.device_backend_map:
                raise ValueError(f"Duplicate device type {pair[0]} in backend string: {pair[1]}. {_NO_BACKEND}{text}.")
            self.device_backend_map[pair[0]] = pair[1]

    def get_device_backend_map(self) -> dict[str, str]:
        """By device."""
        return self.device_backend_map

    def __repr__(self) -> str:
        return ",".join(f"{device}:{name}" for device, name in self.device_backend_map.items())


class BuiltinCommHookType(enum.IntEnum):
    """The hooks of DistributedDataParallel that PyTorch has in C++."""

    ALLREDUCE = 1
    FP16_COMPRESS = 2


class DebugLevel(enum.IntEnum):
    """What TORCH_DISTRIBUTED_DEBUG may ask for. Collectives are compared between ranks at each level."""

    OFF = 0
    INFO = 1
    DETAIL = 2

    def __str__(self) -> str:
        return f"DebugLevel.{self.name}"


_level: DebugLevel | None = None


def get_debug_level() -> DebugLevel:
    """The level that was set, or that the environment asks for."""
    global _level
    if _level is None:
        set_debug_level_from_env()
    assert _level is not None
    return _level


def set_debug_level(level: DebugLevel) -> None:
    """Set it. TypeError for what is no DebugLevel."""
    if not isinstance(level, DebugLevel):
        raise TypeError(
            "set_debug_level(): incompatible function arguments. The following argument types are supported:\n"
            f"    a DebugLevel, not {level!r}"
        )
    global _level
    _level = level


def set_debug_level_from_env() -> None:
    """Set it to what TORCH_DISTRIBUTED_DEBUG says. ValueError for what is no level."""
    name = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF") or "OFF"
    if name.upper() not in DebugLevel.__members__:
        raise ValueError(f"The value of TORCH_DISTRIBUTED_DEBUG must be OFF, INFO, or DETAIL. It is {name}")
    set_debug_level(DebugLevel[name.upper()])


def supports_complex(reduceOp: Any) -> bool:
    """Whether complex tensors can be reduced so."""
    others = (ReduceOp.MAX, ReduceOp.MIN, ReduceOp.PRODUCT, ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
    return reduceOp not in others


if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        name
        for name, value in list(globals().items())
        if getattr(value, "__module__", None) == __name__ and name[0] != "_"
    ]
