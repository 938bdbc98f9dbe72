"""Objects that give and take their state."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

__all__ = ["Stateful", "StatefulT"]


@runtime_checkable
class Stateful(Protocol):
    """What has `state_dict()` and `load_state_dict(state)`: its state is saved, and it is given what was loaded."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it."""
        ...


StatefulT = TypeVar("StatefulT", bound=Stateful)


def states(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict with the states of the objects in it."""
    return {key: value.state_dict() if isinstance(value, Stateful) else value for key, value in state_dict.items()}
