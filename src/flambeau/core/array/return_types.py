"""The named results of operators that return several tensors: `torch.return_types`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

registry: dict[str, Any] = {}


def return_type(name: str, fields: tuple[str, ...]) -> Any:
    """A named tuple that prints as PyTorch's: a line for each field. It is made of its values, or of one sequence of them."""
    found = registry.get(name)
    if found is not None and found._fields == fields:
        return found

    class Result(namedtuple(name, fields)):  # type: ignore[misc]
        __slots__ = ()
        n_fields = n_sequence_fields = len(fields)
        n_unnamed_fields = 0

        def __new__(cls, *values: Any, **named: Any) -> Any:
            last = values[1:]  # PyTorch's pickles have a dict after the sequence
            if values and not named and isinstance(values[0], (tuple, list)) and all(isinstance(v, dict) for v in last):
                values = tuple(values[0])
                if len(values) != len(fields):
                    n = len(fields)
                    raise TypeError(f"torch.return_types.{name}() takes a {n}-sequence ({len(values)}-sequence given)")
            return super().__new__(cls, *values, **named)

        def __reduce__(self) -> Any:
            return type(self), (tuple(self), {})  # as PyTorch's, which are made of one sequence

        def __repr__(self) -> str:
            pairs: Any = zip(self._fields, self, strict=True)
            lines = ",\n".join(f"{field}={value!r}" for field, value in pairs)
            return f"torch.return_types.{type(self).__name__}(\n{lines})"

    Result.__name__ = Result.__qualname__ = name
    Result.__module__ = "flambeau.return_types"
    Result.__doc__ = f"The results of `{name}`: {', '.join(fields)}."
    registry[name] = Result
    return Result


def written_type(kind: Any) -> Any:
    """The type of the same results where they were written to `out=`."""
    return return_type(f"{kind.__name__}_out", kind._fields) if registry.get(kind.__name__) is kind else kind  # type: ignore[union-attr]
