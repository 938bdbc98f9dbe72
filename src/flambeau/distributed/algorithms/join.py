"""Uneven inputs among processes. One process is always even; for several it is refused."""

from __future__ import annotations

from typing import Any

from ...processes import groups
from .. import _later

Joinable: Any = _later.kind("Joinable", __name__)
JoinHook: Any = _later.kind("JoinHook", __name__)


class Join:
    """A context that waits for the slower processes: with one it means nothing. NotImplementedError for several."""

    def __init__(
        self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **options: Any
    ):
        if enable and groups.is_initialized() and groups.get_world_size() > 1:
            raise NotImplementedError(
                "torch.distributed.algorithms.Join is not there yet for several processes: give all ranks the same number of batches"
            )
        self.joinables = joinables

    def __enter__(self) -> Join:
        return self

    def __exit__(self, *error: object) -> None:
        return None
