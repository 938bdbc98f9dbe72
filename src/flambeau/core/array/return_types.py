"""The named results of operators that return several tensors: `torch.return_types`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

registry: dict[str, Any] = {}


def return_type(name: str, fields: tuple[str, ...]) -> Any:
    """A named tuple that prints as PyTorch's: a line for each field."""
    found = registry.get(name)
    if found is not None and found._fields == fields:
        return found

    class Result(namedtuple(name, fields)):  # type: ignore[misc]
        __slots__ = ()

        def __repr__(self) -> str:
            lines = ",\n".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"torch.return_types.{type(self).__name__}(\n{lines})"

    Result.__name__ = Result.__qualname__ = name
    Result.__module__ = "flambeau.return_types"
    Result.__doc__ = f"The results of `{name}`: {', '.join(fields)}."
    registry[name] = Result
    return Result
