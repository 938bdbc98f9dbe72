"""Zeros where a weight's blocks are smallest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ....core.tensor.tensor import Tensor
from ....nn import functional as F
from ....nn.modules.module import Module
from ....ops.making.constants import ones_like, zeros_like
from .base_sparsifier import BaseSparsifier

__all__ = ["WeightNormSparsifier"]

NORMS: dict[Any, Callable[[Tensor], Tensor]] = {1: lambda t: t.abs(), 2: lambda t: t * t}


class WeightNormSparsifier(BaseSparsifier):
    """Zeroes the share `sparsity_level` of blocks whose mean norm is smallest; within them the `zeros_per_block` smallest
    elements, by default all.

    `norm` is 1, 2 (the default) or a function that is applied to the weight.
    """

    def __init__(
        self,
        sparsity_level: float = 0.5,
        sparse_block_shape: tuple[int, int] = (1, 4),
        zeros_per_block: int | None = None,
        norm: Callable[[Tensor], Tensor] | int | None = None,
    ):
        if zeros_per_block is None:
            zeros_per_block = sparse_block_shape[0] * sparse_block_shape[1]
        norm = 2 if norm is None else norm
        if not callable(norm) and norm not in NORMS:
            raise NotImplementedError(f"L-{norm} is not yet implemented.")
        self.norm_fn = norm if callable(norm) else NORMS[norm]
        super().__init__(
            defaults={
                "sparsity_level": sparsity_level,
                "sparse_block_shape": sparse_block_shape,
                "zeros_per_block": zeros_per_block,
            }
        )

    def update_mask(  # type: ignore[override]
        self,
        module: Module,
        tensor_name: str,
        sparsity_level: float,
        sparse_block_shape: tuple[int, int],
        zeros_per_block: int,
        **kwargs: Any,
    ) -> None:
        size = sparse_block_shape[0] * sparse_block_shape[1]
        if zeros_per_block > size:
            raise ValueError(
                "Number of zeros per block cannot be more than the total number of elements in that block."
            )
        if zeros_per_block < 0:
            raise ValueError("Number of zeros per block should be positive.")
        parametrizations: Any = module.parametrizations
        mask = parametrizations[tensor_name][0].mask
        path = kwargs.get("tensor_fqn")
        if sparsity_level <= 0 or zeros_per_block == 0:
            self._set_mask(module, tensor_name, path, ones_like(mask))
        elif sparsity_level >= 1 and zeros_per_block == size:
            self._set_mask(module, tensor_name, path, zeros_like(mask))
        else:
            values = self.norm_fn(getattr(module, tensor_name))
            rows, columns = values.shape  # of two dimensions: blocks have rows and columns
            kept = _of_blocks(values, sparsity_level, sparse_block_shape)
            if zeros_per_block < size:
                kept = kept.bool() | _within_blocks(values, sparse_block_shape, zeros_per_block).bool()
            self._set_mask(module, tensor_name, path, kept[:rows, :columns].contiguous())


def _of_blocks(values: Tensor, level: float, block: tuple[int, int]) -> Tensor:
    """1 in all blocks but the smallest, by the mean of what is within the tensor."""
    means = F.avg_pool2d(values[None, None], block, block, ceil_mode=True)[0, 0]
    count = min(max(round(level * means.numel()), 0), means.numel())
    kept = ones_like(means).flatten()
    kept[means.flatten().topk(count, largest=False).indices] = 0
    return kept.view(means.shape).repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)


def _within_blocks(values: Tensor, block: tuple[int, int], zeros: int) -> Tensor:
    """1 in all places but the smallest of each block."""
    down, across = -(-values.shape[0] // block[0]), -(-values.shape[1] // block[1])
    missing = (0, across * block[1] - values.shape[1], 0, down * block[0] - values.shape[0])
    padded = F.pad(values, missing, value=math.inf)  # what is beyond the tensor is no zero of a block
    blocks = padded.view(down, block[0], across, block[1]).transpose(1, 2).reshape(down, across, -1)
    kept = ones_like(blocks).scatter(-1, blocks.topk(zeros, -1, largest=False).indices, 0.0)
    return kept.view(down, across, *block).transpose(1, 2).reshape(padded.shape)
