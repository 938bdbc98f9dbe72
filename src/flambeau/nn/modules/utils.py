"""Small helpers of the layers, under the names that PyTorch code imports."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that repeats a single value n times and turns an iterable into a tuple as it is."""

    def spread(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, collections.abc.Iterable) else (x,) * n

    spread.__name__ = name
    return spread


_single, _pair, _triple, _quadruple = (
    _ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple", "_quadruple"), 1)
)


def _reverse_repeat_tuple(t: Sequence[Any], n: int) -> tuple[Any, ...]:
    """Each value n times, the last one first: a convolution's padding in `nn.functional.pad`'s order."""
    return tuple(x for value in reversed(t) for x in repeat(value, n))


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    """The sizes asked for, with the last of `defaults` where None was given."""
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}, but got {len(defaults)}")
    return [d if size is None else size for size, d in zip(out_size, defaults[-len(out_size) :], strict=True)]


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Strip a prefix such as 'module.' from a state dict's keys, in place, and from those of its metadata."""
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is None:
        return
    for key in list(metadata):
        if key == prefix.replace(".", "") or key.startswith(prefix):
            metadata[key[len(prefix) :]] = metadata.pop(key)


def _shown(**settings: Any) -> str:
    """`name=value, ...` as layers print their settings."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _with_inplace(text: str, inplace: bool) -> str:
    """A layer's settings, with `inplace=True` at the end if that is set."""
    return ", ".join(part for part in (text, "inplace=True" if inplace else "") if part)
