"""Families that lie evenly around a parameter `loc`, their most likely value."""

from __future__ import annotations

from ..core.tensor.tensor import Tensor


class Centred:
    """Mean and mode are `loc`."""

    loc: Tensor

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc
