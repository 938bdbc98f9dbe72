"""Parameters cut over devices and processes: `fully_shard`, and the older wrapper."""

import functools
from typing import Any

from ...nn import Module
from ...runtime.absent import refuse as _refuse
from .. import _later
from . import api, wrap
from .api import (
    BackwardPrefetch,
    CPUOffload,
    CPUOffloadPolicy,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    LocalOptimStateDictConfig,
    LocalStateDictConfig,
    MixedPrecision,
    MixedPrecisionPolicy,
    OffloadPolicy,
    OptimStateDictConfig,
    OptimStateKeyType,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from .fully_sharded_data_parallel import FullyShardedDataParallel
from .sharding import FSDPModule, UnshardHandle, fully_shard

__all__ = [
    "BackwardPrefetch",
    "CPUOffload",
    "CPUOffloadPolicy",
    "FSDPModule",
    "FullOptimStateDictConfig",
    "FullStateDictConfig",
    "FullyShardedDataParallel",
    "LocalOptimStateDictConfig",
    "LocalStateDictConfig",
    "MixedPrecision",
    "MixedPrecisionPolicy",
    "OffloadPolicy",
    "OptimStateDictConfig",
    "OptimStateKeyType",
    "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig",
    "ShardingStrategy",
    "StateDictConfig",
    "StateDictSettings",
    "StateDictType",
    "UnshardHandle",
    "fully_shard",
    "register_fsdp_forward_method",
    "share_comm_ctx",
]


share_comm_ctx: Any = _later.function("share_comm_ctx", __name__)


def register_fsdp_forward_method(module: Module, method_name: str) -> None:
    """Have a method of a sharded module gather its parameters as its forward does."""
    if not isinstance(module, FSDPModule):
        return
    method: Any = getattr(module, method_name, None)
    if method is None:
        raise ValueError(f"{type(module)} does not have a method {method_name}")
    unit = module._unit

    @functools.wraps(method)
    def around(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = unit.before(module, args, kwargs) or (args, kwargs)
        try:
            output = method(*args, **kwargs)
        finally:
            unit.reshard()
        return unit.after(module, args, output)

    object.__setattr__(module, method_name, around)


_refuse(
    globals(),
    "fully_shard takes a mesh whose dimensions say it; parallelize_module cuts the parameters first",
    "DataParallelMeshDims ",
)
