"""Batches are cut into parts for several devices, and results are put together again."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ...ops.shape.joining import cat

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_named(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _rebuilt(model: Any, parts: Any) -> Any:
    return type(model)(*parts) if _is_named(model) else type(model)(parts)


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """One part of `inputs` for each device: tensors are cut along `dim`, all else is the same in each part.

    Tensors are looked for in tuples, lists and dicts.
    """
    devices = list(target_gpus)

    def parts(value: Any) -> list[Any]:
        if isinstance(value, Tensor):
            return [part.to(device) for part, device in zip(value.chunk(len(devices), dim), devices, strict=False)]
        if isinstance(value, (tuple, list)) and value:
            return [_rebuilt(value, part) for part in zip(*map(parts, value), strict=False)]
        if isinstance(value, dict) and value:
            columns = zip(*map(parts, value.values()), strict=False)
            return [type(value)(zip(value, column, strict=True)) for column in columns]
        return [value for _ in devices]

    return parts(inputs)


def scatter_kwargs(
    inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, target_gpus: Sequence[Any], dim: int = 0
) -> tuple[tuple[Any, ...], tuple[dict[str, Any], ...]]:
    """`scatter` of positional and keyword arguments, filled up with empty ones to the same number of parts."""
    positional = scatter(inputs, target_gpus, dim) if inputs else []
    named = scatter(kwargs, target_gpus, dim) if kwargs else []
    most = max(len(positional), len(named))
    positional += [()] * (most - len(positional))
    named += [{}] * (most - len(named))
    return tuple(positional), tuple(named)


def _gathered_tensors(tensors: Sequence[Tensor], device: Any, dim: int) -> Tensor:
    if all(t.ndim == 0 for t in tensors) and dim == 0:
        warnings.warn(
            "Was asked to gather along dimension 0, but all input tensors were scalars: the result is a vector.",
            stacklevel=4,
        )
        tensors = [t.unsqueeze(0) for t in tensors]
    return cat([t.to(device) for t in tensors], dim)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """The results of several devices as one, on `target_device`: tensors are joined along `dim`.

    Tensors are looked for in tuples, lists, dicts and dataclasses. Raises ValueError if dicts differ in their keys.
    """

    def joined(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Tensor):
            return _gathered_tensors(values, target_device, dim)
        if first is None:
            return None
        if dataclasses.is_dataclass(first) or isinstance(first, dict):
            return _joined_fields(values, joined)
        return _rebuilt(first, map(joined, zip(*values, strict=True)))

    return joined(outputs)


def _joined_fields(values: Sequence[Any], joined: Callable[[Sequence[Any]], Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        if any(len(value) != len(first) for value in values):
            raise ValueError(f"All {type(first).__name__}s must have the same number of keys")
        return type(first)((key, joined([value[key] for value in values])) for key in first)
    return type(first)(
        **{f.name: joined([getattr(value, f.name) for value in values]) for f in dataclasses.fields(first)}
    )
