"""Divergences: `kl_divergence`, and the table of pairs of families from which it takes its formula (`register_kl`).

The formulas are in `_divergences.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import total_ordering
from typing import Any

from ..core.tensor.tensor import Tensor
from .distribution import Distribution

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable[..., Tensor]] = {}  # what was registered
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}  # what was found for pairs of classes


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """A decorator that enters a function of (p, q) for a pair of families and their subclasses.

    Where two entries fit a pair equally well, an entry for that very pair decides; without it a RuntimeWarning tells.
    Raises TypeError for what is no class.
    """
    for given in (type_p, type_q):
        issubclass(given, Distribution)  # raises Python's own TypeError; families need not be subclasses, as in PyTorch

    def enter(function: Any) -> Any:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return enter


@total_ordering
class _Match:
    """A pair of classes, which is less than another if it is the more special one, the first class first."""

    __slots__ = ("types",)

    def __init__(self, *types: type):
        self.types = types

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Match) and self.types == other.types

    __hash__ = None  # type: ignore[assignment]

    def __le__(self, other: _Match) -> bool:
        for mine, theirs in zip(self.types, other.types, strict=True):
            if not issubclass(mine, theirs):
                return False
            if mine is not theirs:
                break
        return True


def _dispatch_kl(type_p: type, type_q: type) -> Any:
    """The function for the most special registered pair, or NotImplemented."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return NotImplemented
    left_p, left_q = min(_Match(*match) for match in matches).types
    right_q, right_p = min(_Match(*reversed(match)) for match in matches).types
    left, right = _KL_REGISTRY[left_p, left_q], _KL_REGISTRY[right_p, right_q]
    if left is not right:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({left_p.__name__}, {right_q.__name__})",
            RuntimeWarning,
        )
    return left


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence KL(p || q), the mean under p of log p(x) - log q(x), for each law of the batch.

    Raises NotImplementedError for a pair that nobody has registered.
    """
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    function = _KL_MEMOIZE[pair]
    if function is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {pair[0].__name__} and q type {pair[1].__name__}"
        )
    return function(p, q)
