"""What Callgrind would count with: it is not asked here, and says so."""

from __future__ import annotations

from typing import Any, NamedTuple


class FunctionCount(NamedTuple):
    """How many instructions a function took."""

    count: int  # type: ignore[assignment]
    function: str


class _Refused:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__}: counting instructions with Callgrind is not supported")


class CallgrindStats(_Refused):
    """Refused, as `Timer.collect_callgrind`."""


class FunctionCounts(_Refused):
    """Refused, as `Timer.collect_callgrind`."""


class CopyIfCallgrind:
    """A value among the `globals`: it is used as it is, for no other process counts anything."""

    def __init__(self, value: Any, *, setup: str | None = None):
        self._value = value
        self._setup = setup

    @property
    def value(self) -> Any:
        """The value."""
        return self._value

    @property
    def setup(self) -> str | None:
        """How another process would make it."""
        return self._setup

    @staticmethod
    def unwrap_all(globals: dict[str, Any]) -> dict[str, Any]:
        """The values themselves."""
        return {k: v.value if isinstance(v, CopyIfCallgrind) else v for k, v in globals.items()}


__all__ = ["CallgrindStats", "CopyIfCallgrind", "FunctionCount", "FunctionCounts"]
