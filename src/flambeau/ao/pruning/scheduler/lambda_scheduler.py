"""Levels by a function."""

from __future__ import annotations

from collections.abc import Callable

from ..sparsifier.base_sparsifier import BaseSparsifier
from .base_scheduler import BaseScheduler

__all__ = ["LambdaSL"]


class LambdaSL(BaseScheduler):
    """The first levels times `sl_lambda(epoch)`: one function, or one for each group."""

    def __init__(
        self,
        sparsifier: BaseSparsifier,
        sl_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        count = len(sparsifier.groups)
        if isinstance(sl_lambda, (list, tuple)):
            if len(sl_lambda) != count:
                raise ValueError(f"Expected {count} lr_lambdas, but got {len(sl_lambda)}")
            self.sl_lambdas = list(sl_lambda)
        else:
            self.sl_lambdas = [sl_lambda] * count
        super().__init__(sparsifier, last_epoch, verbose)

    def get_sl(self) -> list[float]:
        self._warn_outside_of_step()
        return [base * f(self.last_epoch) for base, f in zip(self.base_sl, self.sl_lambdas, strict=True)]
