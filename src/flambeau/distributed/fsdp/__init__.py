"""Parameters cut over devices: `fully_shard`, for those of one process. The older wrapper's settings are here; itself is refused."""

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
from .sharding import FSDPModule, fully_shard

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
UnshardHandle = _later.kind("UnshardHandle", __name__)
share_comm_ctx = _later.function("share_comm_ctx", __name__)


def register_fsdp_forward_method(module: Module, method_name: str) -> None:
    """Nothing to do for a module that is not sharded."""
