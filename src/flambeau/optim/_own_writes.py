"""Parameters of classes that say for themselves how a step is added to them, such as poses, which it moves along their group.

PyTorch's optimizers write into a parameter with a method of it (`add_`, `addcdiv_`, ...), which such a class has of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor, wrap
from ..nn.parameter import Parameter

_PLAIN = frozenset((Tensor, Parameter))


def has_its_own(cls: type, method: str) -> bool:
    """Whether a class of tensors defines this method itself."""
    return getattr(cls, method) is not getattr(Tensor, method)


def step_by_methods(optimizer: Any, index: int, group: dict[str, Any], params: list[Tensor]) -> list[Tensor]:
    """Steps the parameters whose class has a method of its own for that; returns the others."""
    if _PLAIN.issuperset(map(type, params)) or group.get("foreach") or group.get("fused"):
        return params
    method, rest = optimizer.written_by(group), []
    decay = group.get("weight_decay", 0) if group.get("decoupled_weight_decay", optimizer.decays_apart) else 0
    for param in params:
        if has_its_own(type(param), method):
            shrink = None if decay == 0 else 1 - float(group["lr"]) * float(decay)
            _step(param, method, shrink, functools.partial(optimizer._step_values, index, group, [param]))
        else:
            rest.append(param)
    return rest


def _step(param: Tensor, method: str, shrink: float | None, step: Callable[[], None]) -> None:
    """A step by which a parameter would move, given to its own method; `shrink` is what weights are multiplied by before."""
    with no_grad():
        before = param._array
        step()
        way = wrap(param._array - before * (1 if shrink is None else shrink))
        param._write(before)
        if shrink is not None:
            param.mul_(shrink)
        write: Any = getattr(param, method)
        if method == "add_":
            write(way)
        else:  # a product or a quotient is added, here one with ones
            write(way, way.new_ones(way.shape), value=1.0)
