"""Collectives that give new tensors, with gradients. They have ended when they return."""

from __future__ import annotations

from typing import Any

from ..core.tensor.tensor import Tensor
from ..ops.shape.joining import cat
from ..processes import differentiable, groups
from ..processes.groups import ReduceOp
from ..processes.running import functional
from . import _later
from .device_mesh import DeviceMesh

AsyncCollectiveTensor = _later.kind("AsyncCollectiveTensor", __name__)


def _group(given: Any) -> groups.ProcessGroup:
    """The group that a name, a mesh, a side of a mesh or a list of ranks means."""
    if isinstance(given, DeviceMesh):
        return given.get_group()
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], DeviceMesh):
        return given[0].get_group(given[1])
    if isinstance(given, str):
        return groups.group_named(given)
    if isinstance(given, list):
        return groups.group_of_ranks(given)
    return groups.chosen(given)


def _op(name: str) -> Any:
    found = getattr(ReduceOp, {"product": "PRODUCT"}.get(name, name.upper()), None)
    if found is None:
        raise ValueError(f"unknown reduction {name!r}")
    return found


def wait_tensor(tensor: Tensor) -> Tensor:
    """The tensor: it is there already."""
    return tensor


@functional()
def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:
    """The reduction of all processes' tensors."""
    return differentiable.all_reduce(self, _op(reduceOp), _group(group))


def all_reduce_coalesced(self: list[Tensor], reduceOp: str, group: Any, tag: str = "") -> list[Tensor]:
    """`all_reduce` of each."""
    return [all_reduce(tensor, reduceOp, group) for tensor in self]


@functional()
def all_gather_single(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """All processes' tensors, one after the other along a dimension."""
    return cat(list(differentiable.all_gather(self, _group(group))), gather_dim)


all_gather_tensor = all_gather_tensor_autograd = all_gather_single_autograd = all_gather_single


@functional()
def reduce_scatter_single(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """The reduction, a part of a dimension for each. AssertionError if it cannot be cut evenly."""
    chosen = _group(group)
    size = self.shape[scatter_dim]
    if size % chosen.size():
        raise AssertionError(f"input dimension 0 ({size} must be a multiple of group_size {chosen.size()})")
    return differentiable.reduce_scatter(self, list(self.chunk(chosen.size(), scatter_dim)), _op(reduceOp), chosen)


reduce_scatter_tensor = reduce_scatter_tensor_autograd = reduce_scatter_single_autograd = reduce_scatter_single


def all_gather_into_tensor_coalesced(self: list[Tensor], group: Any, tag: str = "") -> list[Tensor]:
    """`all_gather_tensor` of each, along the first dimension."""
    return [all_gather_tensor(tensor, 0, group) for tensor in self]


def reduce_scatter_tensor_coalesced(
    inputs: list[Tensor], reduceOp: str, scatter_dim: list[int], group: Any, tag: str = ""
) -> list[Tensor]:
    """`reduce_scatter_tensor` of each, along its own dimension."""
    return [
        reduce_scatter_tensor(tensor, reduceOp, dim, group) for tensor, dim in zip(inputs, scatter_dim, strict=True)
    ]


@functional()
def all_to_all_single(
    self: Tensor, output_split_sizes: Any, input_split_sizes: Any, group: Any, tag: str = ""
) -> Tensor:
    """Each process's part for each other."""
    rows = sum(output_split_sizes) if output_split_sizes else self.shape[0]
    like = self.detach().new_empty((rows, *self.shape[1:]))
    return differentiable.all_to_all_single(like, self, output_split_sizes, input_split_sizes, _group(group))


all_to_all_single_autograd = all_to_all_single


@functional()
def broadcast(self: Tensor, src: int, group: Any, tag: str = "") -> Tensor:
    """One process's tensor."""
    return differentiable.broadcast(self, src, _group(group))


@functional()
def permute_tensor(self: Tensor, src_dst: list[int], group: Any, tag: str = "") -> Tensor:
    """Tensors handed on from process to process: that of rank i goes to rank `src_dst[i]`. All have the same number of rows."""
    chosen = _group(group)
    gives = [0] * chosen.size()
    takes = [0] * chosen.size()
    gives[src_dst[chosen.rank()]] = takes[src_dst.index(chosen.rank())] = self.numel()
    flat = differentiable.all_to_all_single(self.detach().reshape(-1), self.reshape(-1), takes, gives, chosen)
    return flat.view(self.shape)
