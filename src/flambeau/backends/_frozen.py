"""Switches that a program can forbid to be set other than for a `with` block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..runtime.settings import Telling

_frozen = False


def flags_frozen() -> bool:
    """Whether the switches can't be assigned to."""
    return _frozen


def disable_global_flags() -> None:
    """From now on assigning to a switch raises RuntimeError; `flags()` still sets it for a `with` block."""
    global _frozen
    _frozen = True


@contextmanager
def allow_mutation() -> Iterator[None]:
    """Inside the block the switches can be assigned to whatever was forbidden."""
    global _frozen
    before, _frozen = _frozen, False
    try:
        yield
    finally:
        _frozen = before


class Switches(Telling, ModuleType):
    """A module whose switches can be frozen."""

    def __setattr__(self, name: str, value: Any) -> None:
        if _frozen and not name.startswith("__") and not isinstance(value, ModuleType):
            home = self.__name__.replace("flambeau", "torch", 1)
            raise RuntimeError(
                f"not allowed to set {home} flags after disable_global_flags; please use flags() context manager instead"
            )
        super().__setattr__(name, value)


def freezable(kinds: dict[str, type[Switches]]) -> None:
    """Let these modules refuse assignments."""
    for name, kind in kinds.items():
        sys.modules[name].__class__ = kind


@contextmanager
def within(name: str, **switches: Any) -> Iterator[None]:
    """Other values of a module's switches inside the `with` block, frozen or not; what it has no switch for is left out."""
    module = sys.modules[name]
    before = {key: getattr(module, key) for key in switches if hasattr(module, key)}
    try:
        for key in before:
            ModuleType.__setattr__(module, key, switches[key])
        yield
    finally:
        for key, value in before.items():
            ModuleType.__setattr__(module, key, value)
