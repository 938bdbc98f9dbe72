"""The groups and collectives by the path that PyTorch's own module has."""

from typing import Any

from ..processes import groups
from ..processes.collectives import *  # noqa: F403
from ..processes.collectives import _all_gather_base as _all_gather_base
from ..processes.collectives import _coalescing_manager as _coalescing_manager
from ..processes.collectives import _reduce_scatter_base as _reduce_scatter_base
from ..processes.groups import *  # noqa: F403
from ..processes.groups import _rank_not_in_group as _rank_not_in_group
from ..processes.objects import *  # noqa: F403
from ..processes.options import *  # noqa: F403
from ..processes.point_to_point import *  # noqa: F403
from ..processes.stores import PrefixStore as PrefixStore
from ..processes.stores import Store
from ._machinery import *  # noqa: F403


def _get_default_group() -> groups.ProcessGroup:
    return groups.default_group()


def _get_global_rank(group: Any, rank: int) -> int:
    """`get_global_rank` by its older name."""
    return groups.get_global_rank(group, rank)


def _get_group_size(group: Any) -> int:
    """`get_world_size` by its private name."""
    return groups.get_world_size(group)


def _get_default_store() -> Store:
    """The store by which the processes have found each other. ValueError before `init_process_group`."""
    store = groups.default_group().store
    if store is None:
        raise ValueError("the default process group has no store")
    return store
