"""What a type checker is told of a module's call: it takes what `forward` takes and gives what that gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)


class HasForward(Protocol[_P, _R]):
    """Whatever can be called as its `forward`."""

    @property
    def forward(self) -> Callable[_P, _R]: ...
