"""The groups and collectives by the path that PyTorch's own module has."""

from ..processes import groups
from ..processes.collectives import *  # noqa: F403
from ..processes.groups import *  # noqa: F403
from ..processes.objects import *  # noqa: F403


def _get_default_group() -> groups.ProcessGroup:
    return groups.default_group()


def _rank_not_in_group(group: groups.ProcessGroup | None) -> bool:
    return False
