"""Uneven inputs among processes: one process is always even."""

from __future__ import annotations

from typing import Any

from .. import _later

Joinable = _later.kind("Joinable", __name__)
JoinHook = _later.kind("JoinHook", __name__)


class Join:
    """A context that waits for the slower processes: with one it means nothing."""

    def __init__(
        self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **options: Any
    ):
        self.joinables = joinables

    def __enter__(self) -> Join:
        return self

    def __exit__(self, *error: object) -> None:
        return None
