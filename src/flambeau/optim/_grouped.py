"""Optimizers whose step goes from group to group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..core.tensor.tensor import Tensor
from .optimizer import Optimizer, loss_of

_R = TypeVar("_R")


class GroupedOptimizer(Optimizer):
    """An optimizer that updates, group by group, the parameters that have a gradient; a subclass says how."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], _R]) -> _R: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient. `closure` computes the loss anew; its value is returned."""
        loss = loss_of(closure)
        for index, group in enumerate(self.param_groups):
            self._step_group(index, group, [param for param in group["params"] if param.grad is not None])
        return loss

    def _step_group(self, index: int, group: dict[str, Any], params: list[Tensor]) -> None:
        raise NotImplementedError
