"""What processes that save or load together tell each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ...processes import groups
from ...processes.objects import all_gather_object
from .api import CheckpointException, failure


class Ranks:
    """The processes of a group, or this one alone."""

    def __init__(self, group: Any = None, alone: bool = False, what: str = "save"):
        if not alone and not groups.is_initialized():
            warnings.warn(
                f"torch.distributed is disabled, unavailable or uninitialized, assuming the intent is to {what} in a single process.",
                stacklevel=4,
            )
        self.alone = alone or not groups.is_initialized() or groups.chosen(group).size() == 1
        self.group = group
        self.rank = 0 if self.alone else groups.chosen(group).rank()

    def all(self, job: Callable[[], Any]) -> list[Any]:
        """What a job gives in each process, in all of them. CheckpointException in all if it fails in one."""
        try:
            mine: Any = (True, job())
        except Exception as error:
            mine = (False, failure(error))
        if self.alone:
            told = [mine]
        else:
            told = [None] * groups.chosen(self.group).size()
            all_gather_object(told, mine if mine[0] else (False, (_sendable(mine[1][0]), mine[1][1])), self.group)
        failures = {rank: value for rank, (good, value) in enumerate(told) if not good}
        if failures:
            if self.rank in failures and not mine[0]:
                failures[self.rank] = mine[1]
            raise CheckpointException("checkpoint", failures) from (mine[1][0] if not mine[0] else None)
        return [value for _, value in told]


def _sendable(error: Exception) -> Exception:
    kind = type(error) if type(error).__module__ == "builtins" else RuntimeError
    try:
        return kind(str(error))
    except TypeError:
        return RuntimeError(str(error))
