"""torch.distributed: groups of processes and what they send each other, over JAX's runtime (see `flambeau.processes`)."""

import importlib
import logging
import pkgutil
from typing import TYPE_CHECKING, Any

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..processes import group_methods as _group_methods
from ..processes.buckets import GradBucket as GradBucket
from ..processes.collectives import *
from ..processes.collectives import _all_gather_base as _all_gather_base
from ..processes.collectives import _coalescing_manager as _coalescing_manager
from ..processes.collectives import _reduce_scatter_base as _reduce_scatter_base
from ..processes.errors import *
from ..processes.groups import *
from ..processes.groups import _rank_not_in_group as _rank_not_in_group
from ..processes.objects import *
from ..processes.options import *
from ..processes.point_to_point import *
from ..processes.stores import FileStore as FileStore
from ..processes.stores import HashStore as HashStore
from ..processes.stores import PrefixStore as PrefixStore
from ..processes.stores import Store as Store
from ..processes.stores import TCPStore as TCPStore
from ._machinery import *

for _name in (
    "Staged",
    "are_several",
    "chosen",
    "default_group",
    "end_threads",
    "group_named",
    "group_of_ranks",
    "is_member",
    "limit_of",
):
    del globals()[_name]  # which the collectives need of each other

_explain_namespace(
    globals(),
    "torch.distributed",
    homes=("flambeau.processes",),
    without=(
        "Logger",
        "ProcessGroupGloo",
        "Reducer",
        "record_comm",
        "shrink_group",
    ),
)
log: Any = logging.getLogger(__name__)

_SUBMODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))  # noqa: F405


if TYPE_CHECKING:
    # isort: off
    from . import algorithms as algorithms, autograd as autograd, checkpoint as checkpoint
    from . import constants as constants, device_mesh as device_mesh, distributed_c10d as distributed_c10d
    from . import elastic as elastic, fsdp as fsdp, nn as nn
    from . import optim as optim, pipelining as pipelining, rpc as rpc
    from . import run as run  # type: ignore[assignment]  # processes/collectives has one of its own
    from . import tensor as tensor, utils as utils

    # isort: on
    from .device_mesh import DeviceMesh as DeviceMesh
    from .device_mesh import init_device_mesh as init_device_mesh
else:

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return importlib.import_module(f"{__package__}.{name}")
        if name in ("DeviceMesh", "init_device_mesh"):
            return getattr(importlib.import_module(f"{__package__}.device_mesh"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")
