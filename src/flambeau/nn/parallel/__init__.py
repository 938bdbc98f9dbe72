"""Modules on several devices and in several processes."""

from ...core.dispatch.help import explain_namespace as _explain
from . import comm as comm
from .data_parallel import DataParallel, data_parallel
from .distributed import DistributedDataParallel
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter

__all__ = [
    "DataParallel", "DistributedDataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter",
]  # fmt: skip

_explain(globals(), "torch.nn.parallel")
