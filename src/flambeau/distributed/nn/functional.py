"""Collectives that are part of the graph of gradients. In a group of one they give what they are given."""

from __future__ import annotations

from typing import Any

from ...core.tensor.tensor import Tensor
from ...processes import groups
from ...processes.collectives import ReduceOp


def _group_of_one(group: Any) -> None:
    groups.chosen(group)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or another reduction) of all processes' tensors, in each of them."""
    _group_of_one(group)
    return tensor.clone()


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The same in one process."""
    _group_of_one(group)
    return tensor.clone()


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """One process's tensor, in all of them."""
    _group_of_one(group)
    return tensor.clone()


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """All processes' tensors, in each of them."""
    _group_of_one(group)
    return (tensor.clone(),)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """All processes' tensors, in one of them."""
    _group_of_one(group)
    return (tensor.clone(),)


def scatter(tensors: Any, src: int = 0, group: Any = None) -> Tensor:
    """One of a process's tensors for each."""
    _group_of_one(group)
    return tensors[0].clone()


def reduce_scatter(output: Tensor, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction of all processes' lists, one part for each."""
    _group_of_one(group)
    return input_list[0].clone()


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None) -> tuple[Tensor, ...]:
    """Each process's part for each other."""
    _group_of_one(group)
    return tuple(tensor.clone() for tensor in input_tensor_list)


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None
) -> Tensor:
    """The same with the parts in one tensor."""
    _group_of_one(group)
    return input.clone()
