"""Parameters cut over devices and processes: `fully_shard`. The older wrapper's settings are here; itself is refused."""

import functools
from typing import Any

from ...nn import Module
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
from .sharding import FSDPModule, UnshardHandle, fully_shard

FullyShardedDataParallel = _later.kind("FullyShardedDataParallel", __name__, Module)
for _name in (
    "optim_state_dict",
    "optim_state_dict_to_load",
    "rekey_optim_state_dict",
    "state_dict_type",
    "summon_full_params",
):
    setattr(FullyShardedDataParallel, _name, staticmethod(_later.function(_name, __name__)))


def _fsdp_modules(module: Module, root_only: bool = False) -> list[Module]:
    """The wrapped modules within: none."""
    return [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]


FullyShardedDataParallel.fsdp_modules = staticmethod(_fsdp_modules)
share_comm_ctx = _later.function("share_comm_ctx", __name__)


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
