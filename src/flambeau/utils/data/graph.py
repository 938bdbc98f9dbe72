"""Which data pipes a data pipe reads from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.dispatch.messages import message
from .datapipes.datapipe import IterDataPipe, MapDataPipe

__all__ = ["traverse", "traverse_dps"]

_PIPES = (IterDataPipe, MapDataPipe)


def _within(value: Any, seen: set[int]) -> list[Any]:
    """The data pipes in a value, themselves not looked into."""
    if isinstance(value, _PIPES):
        return [value]
    if id(value) in seen or isinstance(value, (str, bytes, type)):
        return []
    seen.add(id(value))
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = list(value)
    else:
        parts = list(getattr(value, "__dict__", {}).values())
    return [pipe for part in parts for pipe in _within(part, seen)]


def traverse_dps(datapipe: IterDataPipe | MapDataPipe) -> dict[int, tuple[Any, dict[int, Any]]]:
    """The graph of data pipes: by its `id`, each with the graph of those that it reads from."""
    if not isinstance(datapipe, _PIPES):
        raise RuntimeError(message("no_data_pipe", found=type(datapipe)))
    return _graph(datapipe, set())


def _graph(pipe: Any, above: set[int]) -> dict[int, tuple[Any, dict[int, Any]]]:
    if id(pipe) in above:
        return {}
    above = above | {id(pipe)}
    sources: dict[int, Any] = {}
    for source in _within(vars(pipe), set()):
        sources.update(_graph(source, above))
    return {id(pipe): (pipe, sources)}


def traverse(datapipe: IterDataPipe | MapDataPipe, only_datapipe: bool | None = None) -> dict[int, Any]:
    """An older name of `traverse_dps`."""
    return traverse_dps(datapipe)
