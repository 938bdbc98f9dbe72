"""What a type checker is told of a module: what its call takes and gives, and what an attribute is that it can't see."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class HasForward(Protocol[_P, _R]):
    """Whatever can be called as its `forward`."""

    @property
    def forward(self) -> Callable[_P, _R]: ...


class Unseen(Protocol[_R]):
    """A module whose class says what an attribute may be that no assignment tells of."""

    def _unseen(self) -> _R: ...
