"""Nested containers of values by full names, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...core.tensor.tensor import Tensor

Path = tuple[Any, ...]


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_tensors, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensors, value))
    return isinstance(value, Tensor)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values within dictionaries, and within lists that hold tensors, with the keys that lead to them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list) and _holds_tensors(value):
        for number, part in enumerate(value):
            yield from leaves(part, (*path, number))
    else:
        yield path, value


def flatten(state_dict: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Values by full names ("optim.state.0.step"), and their paths. ValueError for two of one name, TypeError for other keys
    than texts and ints."""
    flat: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    for path, value in leaves(state_dict):
        if any(not isinstance(key, (str, int)) for key in path):
            raise TypeError(f"keys of a checkpoint are texts and ints, got {path}")
        name = ".".join(map(str, path))
        if name in flat:
            raise ValueError(f"duplicated flatten key {name}")
        flat[name], paths[name] = value, path
    return flat, paths


def copied(value: Any) -> Any:
    """Nested containers with copies of all tensors, which what happens to those does not change."""
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [copied(part) for part in value]
    return value.detach().clone() if isinstance(value, Tensor) else value  # type: ignore[attr-defined]


def put(container: Any, path: Path, value: Any) -> None:
    """Set what a path leads to. Dictionaries that are not there are made."""
    for key in path[:-1]:
        if isinstance(container, dict) and key not in container:
            container[key] = {}
        container = container[key]
    container[path[-1]] = value
