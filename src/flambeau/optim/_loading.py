"""What is asked of a state dict before an optimizer takes any of it over, and of options before a step."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..core.tensor.sparse import is_sparse
from ..core.tensor.tensor import Tensor

NUMBERS = (int, float, np.integer, np.floating)
_LARGEST = 10**308  # of whole numbers: float64 holds it


def _kind(value: Any) -> str:
    return type(value).__name__


# --- the form of a state dict: the types of errors are those that PyTorch's code ends in ------------------------------


def check_dict(state_dict: Any) -> None:
    """AttributeError if it is no dict."""
    if not isinstance(state_dict, Mapping):
        raise AttributeError(f"'{_kind(state_dict)}' object has no attribute 'copy': the state dict should be a dict")


def check_parts(state_dict: Any, groups: list[dict[str, Any]]) -> None:
    """Whether there are groups, as many and as large as the optimizer's, and a state."""
    check_dict(state_dict)
    for part in ("param_groups", "state"):
        if part not in state_dict:
            raise KeyError(f"'{part}' is not in the loaded state dict: it is no optimizer's")
    saved = state_dict["param_groups"]
    if not isinstance(saved, Sequence):
        raise TypeError(f"object of type '{_kind(saved)}' has no len(): the loaded 'param_groups' should be a list")
    if len(groups) != len(saved):
        raise ValueError(
            f"loaded state dict has a different number of parameter groups ({len(saved)}, the optimizer has "
            f"{len(groups)})"
        )
    for index, (group, other) in enumerate(zip(groups, saved, strict=True)):
        _check_group(index, group, other)
    if not hasattr(state_dict["state"], "items"):
        kind = _kind(state_dict["state"])
        raise AttributeError(f"'{kind}' object has no attribute 'items': the loaded 'state' should be a dict")


def _check_group(index: int, group: dict[str, Any], saved: Any) -> None:
    if not isinstance(saved, MutableMapping):
        raise TypeError(f"'{_kind(saved)}' object is not subscriptable: the loaded group {index} should be a dict")
    if "params" not in saved:
        raise KeyError(f"'params' is not in group {index} of the loaded state dict")
    params = saved["params"]
    if not isinstance(params, Sequence) or isinstance(params, (str, bytes)):
        raise TypeError(
            f"the loaded 'params' of group {index} should be a list, got {_kind(params)}: it has the parameters' numbers"
        )
    if len(group["params"]) != len(params):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
            f"{len(params)} and {len(group['params'])} parameters"
        )
    for number in params:
        if not isinstance(number, Hashable):
            raise TypeError(
                f"unhashable type: '{_kind(number)}': the loaded 'params' of group {index} should have numbers"
            )


# --- options ----------------------------------------------------------------------------------------------------------


def check_option(name: str, value: Any, like: Any = None) -> None:
    """TypeError if an option is no number or, where `like` has several, not as many; OverflowError beyond float64."""
    if isinstance(value, (tuple, list)) and not value:
        raise TypeError(f"the option '{name}' should be a number, got {value!r}, a {_kind(value)}")
    if not isinstance(like, (tuple, list)):
        for one in value if isinstance(value, (tuple, list)) and like is None else (value,):
            _check_number(name, one)
        return
    if not isinstance(value, (tuple, list)) or len(value) != len(like):
        raise TypeError(f"the option '{name}' should be {len(like)} numbers, got {value!r:.80}, a {_kind(value)}")
    for one, default in zip(value, like, strict=True):
        if one is not None or default is not None:
            _check_number(name, one)


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        fits = not is_sparse(value) and value.numel() == 1 and not value.dtype.is_complex
    else:
        fits = hasattr(type(value), "__float__") and getattr(value, "size", 1) == 1
    if not fits:
        raise TypeError(f"the option '{name}' should be a number, got {value!r:.80}, a {_kind(value)}")
    if type(value) is int and not -_LARGEST <= value <= _LARGEST:
        raise OverflowError(f"the option '{name}' is too large: it should be a number that float64 holds")


def check_options(
    optimizer: Any, index: int, group: Mapping[str, Any], numbers: Iterable[str], whole: Iterable[str] = ()
) -> None:
    """Whether a loaded group has the options that an optimizer's step needs: numbers, whole numbers, switches."""
    defaults = optimizer.defaults
    for name in (*numbers, *whole):
        if name not in group:
            raise KeyError(
                f"'{name}' is not in group {index} of the loaded state dict, which {_kind(optimizer)} needs: is it "
                "another optimizer's?"
            )
    for name in numbers:
        check_option(name, group[name], defaults.get(name))
    for name in whole:
        try:
            operator.index(group[name])
        except TypeError:
            raise TypeError(
                f"the option '{name}' should be a whole number, got {group[name]!r:.80}, a {_kind(group[name])}"
            ) from None
    for name in group:
        if isinstance(defaults.get(name), bool) or name in ("foreach", "fused"):
            _check_switch(name, group[name])


def _check_switch(name: str, value: Any) -> None:
    try:
        bool(value)
    except Exception:
        raise TypeError(f"the option '{name}' should be True or False, got {value!r:.80}, a {_kind(value)}") from None


# --- state ------------------------------------------------------------------------------------------------------------


def check_is_dict(what: str, own: Any) -> None:
    """TypeError if the state of a parameter is no dict."""
    if not isinstance(own, dict):
        raise TypeError(f"the loaded state of {what} should be a dict, got {_kind(own)}")


def check_has(optimizer: Any, what: str, own: dict[str, Any], names: Iterable[str]) -> None:
    """KeyError if the state of a parameter lacks a piece."""
    for name in names:
        if name not in own:
            raise KeyError(
                f"'{name}' is not in the loaded state of {what}, which {_kind(optimizer)} needs: is it another optimizer's?"
            )


def check_piece(what: str, name: str, value: Any, shape: Sequence[int] | None, number: bool = False) -> None:
    """TypeError if a piece of state is no dense tensor (or, if it may be one, no number), ValueError for another shape.

    `shape=None` asks for one element.
    """
    if number and isinstance(value, NUMBERS):
        return
    if not isinstance(value, Tensor) or is_sparse(value):
        kind = "a sparse tensor" if isinstance(value, Tensor) else _kind(value)
        raise TypeError(f"the loaded '{name}' of {what} should be a {'dense ' * is_sparse(value)}tensor, got {kind}")
    if value.numel() != 1 if shape is None else tuple(value.shape) != tuple(shape):
        raise ValueError(
            f"the loaded '{name}' of {what} has the shape {list(value.shape)}, and should have "
            f"{'one element' if shape is None else list(shape)}: is it another model's?"
        )
