"""Mixed precision: what `amp.autocast` makes of the inputs of operators, and the casting.

Which operators get inputs of another dtype stands in their declarations, as PyTorch's page "Automatic Mixed Precision
package" has it (Autocast Op Reference): `autocast="lower"` on every device, or `autocast={"cpu": "float32"}`. A function that
says nothing computes in the dtypes that come to it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..array import dtypes
from ..context.grad_mode import state as grad_state
from ..tape.nodes import AccumulateGrad
from ..tensor.tensor import Tensor

LOWER, FULL, WIDEST = "lower", "float32", "widest"  # the lower precision; float32; the widest of the inputs
REFUSED = "refused"  # not safe: an error
_DEVICES = {
    "cpu": "cpu",
    "cuda": "cuda",
    "tpu": "cuda",
}  # by type of device, under which name a declaration speaks of it

Rules = tuple[tuple[str, str], ...]  # by type of device, what inputs become


def rules_of(declared: str | dict[str, str] | None) -> Rules:
    """A declaration's rule for each type of device that has one. ValueError for what is none."""
    if declared is None:
        return ()
    kinds = dict.fromkeys(_DEVICES.values(), declared) if isinstance(declared, str) else declared
    if not set(kinds) <= set(_DEVICES.values()) or not set(kinds.values()) <= {LOWER, FULL, WIDEST, REFUSED}:
        raise ValueError(f"autocast={declared!r} is no rule: see core/dispatch/autocast.py")
    return tuple((device, kinds[name]) for device, name in _DEVICES.items() if name in kinds)


_EIGHT_BYTES = dtypes.float64.itemsize


class Policy(NamedTuple):
    """What is cast: the lower precision for each type of device where autocast is on, and whether casts are kept."""

    lower: tuple[tuple[str, Any], ...]
    keeps: bool = True

    @classmethod
    def of(cls, lower: dict[str, Any], keeps: bool) -> Policy | None:
        """The policy for `grad_mode.state.autocast`, the same object for the same choice; None if nothing is on."""
        return _interned(tuple(sorted(lower.items(), key=lambda item: item[0])), keeps) if lower else None


_interned = functools.lru_cache(None)(Policy)


@functools.lru_cache(None)
def active(policy: Policy, rules: Rules) -> dict[str, str] | None:
    """The rules that are in force under this policy, by type of device; None if there are none."""
    on = dict(policy.lower)
    return {device: kind for device, kind in rules if device in on} or None


# --- casts that are kept ---------------------------------------------------------------------------------------------


class _Kept(threading.local):
    """The casts of parameters since the outermost `autocast` was entered, so that each is made once."""

    def __init__(self) -> None:
        self.nesting = 0
        self.casts: dict[tuple[int, Any], tuple[Tensor, Any, Tensor]] = {}


kept: _Kept = _Kept()


def _cast(tensor: Tensor, target: Any, keep: bool) -> Tensor:
    """The tensor in this dtype, recorded on the tape; a parameter's, if `keep`, is made once and lives on."""
    edge = tensor._edge
    if not keep or edge is None or type(edge[0]) is not AccumulateGrad or tensor._view is not None:
        return tensor.to(target)
    if grad_state.trace is not None or grad_state.transforms:
        return tensor.to(target)  # XLA makes one of several; and nothing may outlive the trace
    held = kept.casts.get((id(tensor), target))
    value = tensor._storage.value
    if held is None or held[1] is not value or (grad_state.grad and held[2]._edge is None):
        held = kept.casts[id(tensor), target] = (tensor, value, tensor.to(target))
    return held[2]


# --- casting the arguments of a call ---------------------------------------------------------------------------------


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif type(value) in (tuple, list):
            found += _tensors(value)
    return found


def _is_eligible(tensor: Tensor, device: str) -> bool:
    dtype = tensor.dtype
    return dtype.is_floating_point and dtype.itemsize < _EIGHT_BYTES and tensor.device.type == device


def _replaced(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    return type(value)([_replaced(v, change) for v in value]) if type(value) in (tuple, list) else value


def call(policy: Policy, rules: dict[str, str], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function that has a rule, its inputs cast by it, and autocast off inside. `out=` is computed as it comes."""
    try:
        if "out" not in kwargs:
            tensors = _tensors((*args, *kwargs.values()))
            device = tensors[0].device.type if tensors else ""
            if device in rules:
                args, kwargs = _prepared(policy, rules[device], function, device, tensors, args, kwargs)
        grad_state.autocast = None
        return function(*args, **kwargs)
    finally:
        grad_state.autocast = policy


def _prepared(
    policy: Policy, kind: str, function: Callable[..., Any], device: str, tensors: list[Tensor], args: Any, kwargs: Any
) -> tuple[Any, Any]:
    if kind == REFUSED:
        raise RuntimeError(
            f"{function.__name__} is not safe under autocast on {device!r}: in the lower precision its logarithm overflows. "
            "Give logits to binary_cross_entropy_with_logits (or BCEWithLogitsLoss), which is, or switch autocast off here"
        )
    target = dict(policy.lower)[device] if kind == LOWER else dtypes.float32
    if kind == WIDEST:
        widest = max((t.dtype.itemsize for t in tensors if _is_eligible(t, device)), default=0)
        if widest < dtypes.float32.itemsize:
            return args, kwargs
    keep = kind == LOWER and policy.keeps

    def change(tensor: Tensor) -> Tensor:
        if tensor.dtype is target or not _is_eligible(tensor, device):
            return tensor
        return _cast(tensor, target, keep and tensor.dtype is dtypes.float32)

    return tuple(_replaced(a, change) for a in args), {k: _replaced(v, change) for k, v in kwargs.items()}


def lowered(tensor: Tensor) -> Tensor:
    """The tensor as a product takes it here and now, for a function that has some of its arguments cast, not all."""
    policy = grad_state.autocast
    target = None if policy is None else dict(policy.lower).get(tensor.device.type)
    if policy is None or target is None or tensor.dtype is target or not _is_eligible(tensor, tensor.device.type):
        return tensor
    return _cast(tensor, target, policy.keeps and tensor.dtype is dtypes.float32)


__all__ = ["FULL", "LOWER", "REFUSED", "WIDEST", "Policy", "Rules", "active", "call", "kept", "lowered", "rules_of"]
