"""Zeros everywhere but near the diagonal."""

from __future__ import annotations

from typing import Any

from ....nn.modules.module import Module
from ....ops.making.ranges import arange
from .base_sparsifier import BaseSparsifier

__all__ = ["NearlyDiagonalSparsifier"]


class NearlyDiagonalSparsifier(BaseSparsifier):
    """Leaves the `nearliness` diagonals (an odd number) that are nearest to the main one."""

    def __init__(self, nearliness: int = 1):
        super().__init__(defaults={"nearliness": nearliness})

    def update_mask(self, module: Module, tensor_name: str, nearliness: int, **kwargs: Any) -> None:  # type: ignore[override]
        parametrizations: Any = module.parametrizations
        mask = parametrizations[tensor_name][0].mask
        if nearliness % 2 != 1:
            raise ValueError("nearliness can only be an odd number")
        rows, columns = mask.shape
        distance = nearliness // 2
        if distance >= min(rows, columns):
            raise ValueError("nearliness cannot be larger than the dimensions of tensor.")
        away = (arange(rows).unsqueeze(1) - arange(columns)).abs()
        mask.copy_(away <= distance)
