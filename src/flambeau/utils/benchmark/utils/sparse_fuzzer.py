"""Sparse tensors at random: refused."""

from __future__ import annotations

from typing import Any


class FuzzedSparseTensor:
    """Refused: sparse tensors are not made at random here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("FuzzedSparseTensor: sparse tensors at random are not supported; use FuzzedTensor")
