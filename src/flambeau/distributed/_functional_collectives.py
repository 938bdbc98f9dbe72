"""Collectives that give new tensors. In a group of one they give what they are given."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from . import _later

AsyncCollectiveTensor = _later.kind("AsyncCollectiveTensor", __name__)


def wait_tensor(tensor: Tensor) -> Tensor:
    """The tensor: it is there already."""
    return tensor


def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:
    """The reduction of all processes' tensors."""
    return self.clone()


def all_gather_tensor(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """All processes' tensors, one after the other along a dimension."""
    return self.clone()


def reduce_scatter_tensor(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """The reduction, a part of a dimension for each."""
    return self.clone()


def all_to_all_single(
    self: Tensor, output_split_sizes: Any, input_split_sizes: Any, group: Any, tag: str = ""
) -> Tensor:
    """Each process's part for each other."""
    return self.clone()


all_to_all_single_autograd = all_to_all_single


def broadcast(self: Tensor, src: int, group: Any, tag: str = "") -> Tensor:
    """One process's tensor."""
    return self.clone()


def permute_tensor(self: Tensor, src_dst: list[int], group: Any, tag: str = "") -> Tensor:
    """Tensors handed on from process to process."""
    return self.clone()
