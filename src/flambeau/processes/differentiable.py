"""Collectives that give new tensors and have gradients: each one's derivative is another collective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.autograd.function import Function
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from ..ops.shape.joining import cat
from ..ops.shape.joining import stack as _stack
from . import collectives
from .collectives import _root
from .groups import ReduceOp, chosen, get_rank


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return like.detach().new_empty(tuple(shape))


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, op: Any, group: Any) -> Any:
        ctx.op, ctx.group = op, group
        made = tensor.clone()
        collectives.all_reduce(made, op, group)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if ctx.op not in (ReduceOp.SUM, ReduceOp.AVG):
            raise RuntimeError(f"all_reduce by {ctx.op!s} has no derivative here: reduce by SUM or AVG")
        return _AllReduce.apply(grads[0].contiguous(), ctx.op, ctx.group), None, None


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, root: int, op: Any, group: Any) -> Any:
        ctx.root, ctx.op, ctx.group = root, op, group
        made = tensor.clone()
        collectives.reduce(made, op=op, group=group, group_dst=root)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if ctx.op is not ReduceOp.SUM:
            raise RuntimeError(f"reduce by {ctx.op!s} has no derivative here: reduce by SUM")
        return _Broadcast.apply(grads[0].contiguous(), ctx.root, ctx.group), None, None, None


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, root: int, group: Any) -> Any:
        ctx.root, ctx.group = root, group
        made = tensor.clone()
        collectives.broadcast(made, group=group, group_src=root)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        made = _Reduce.apply(grads[0].contiguous(), ctx.root, ReduceOp.SUM, ctx.group)
        if get_rank(ctx.group) != ctx.root:
            made = made * 0
        return made, None, None


class _AllGather(Function):
    """All ranks' tensors, stacked."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Any:
        ctx.group = group
        made = _empty((chosen(group).size(), *tensor.shape), tensor)
        collectives.all_gather_single(made, tensor, group)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _ReduceScatter.apply(grads[0].contiguous(), ReduceOp.SUM, ctx.group), None


class _ReduceScatter(Function):
    """Of a stack with a row for each rank."""

    @staticmethod
    def forward(ctx: Any, stack: Tensor, op: Any, group: Any) -> Any:
        ctx.op, ctx.group = op, group
        made = _empty(stack.shape[1:], stack)
        collectives.reduce_scatter_single(made, stack, op, group)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if ctx.op not in (ReduceOp.SUM, ReduceOp.AVG):
            raise RuntimeError(f"reduce_scatter by {ctx.op!s} has no derivative here: reduce by SUM or AVG")
        made = _AllGather.apply(grads[0].contiguous(), ctx.group)
        return made / chosen(ctx.group).size() if ctx.op is ReduceOp.AVG else made, None, None


class _AllToAll(Function):
    """Of a tensor whose first dimension is cut into parts."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, takes: Any, gives: Any, group: Any) -> Any:
        ctx.takes, ctx.gives, ctx.group = takes, gives, group
        made = _empty((sum(takes), *tensor.shape[1:]), tensor)
        collectives.all_to_all_single(made, tensor, list(takes), list(gives), group)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _AllToAll.apply(grads[0].contiguous(), ctx.gives, ctx.takes, ctx.group), None, None, None


class _Gather(Function):
    """All ranks' tensors, stacked, in one rank; zeros in the others."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, root: int, group: Any) -> Any:
        ctx.root, ctx.group = root, group
        made = tensor.new_zeros((chosen(group).size(), *tensor.shape))
        rows = list(made.unbind(0)) if get_rank(group) == root else None
        collectives.gather(tensor, rows, group=group, group_dst=root)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Scatter.apply(grads[0].contiguous(), ctx.root, ctx.group), None, None


class _Scatter(Function):
    """Of a stack in one rank a row for each."""

    @staticmethod
    def forward(ctx: Any, stack: Tensor, root: int, group: Any) -> Any:
        ctx.root, ctx.group = root, group
        made = _empty(stack.shape[1:], stack)
        rows = list(stack.unbind(0)) if get_rank(group) == root else None
        collectives.scatter(made, rows, group=group, group_src=root)
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Gather.apply(grads[0].contiguous(), ctx.root, ctx.group), None, None


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or another reduction) of all ranks' tensors, in each of them."""
    return _AllReduce.apply(tensor, op, group)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The same in one rank."""
    return _Reduce.apply(tensor, _root(chosen(group), dst, None, "reduce"), op, group)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """One rank's tensor, in all of them."""
    return _Broadcast.apply(tensor, _root(chosen(group), src, None, "broadcast"), group)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """All ranks' tensors, in each of them."""
    return tuple(_AllGather.apply(tensor, group).unbind(0))


def _all_gather_base(output_tensor: Tensor, input_tensor: Tensor, group: Any = None) -> Tensor:
    """All ranks' tensors one behind the other, as `output_tensor` is shaped, into which they are written, too."""
    made: Tensor = _AllGather.apply(input_tensor, group).reshape(output_tensor.shape)
    with no_grad():
        output_tensor.copy_(made)
    return made


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """All ranks' tensors in one of them, zeros in the others."""
    return tuple(_Gather.apply(tensor, _root(chosen(group), dst, None, "gather"), group).unbind(0))


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """One of a rank's tensors for each. The others give tensors of the same shape, too."""
    return _Scatter.apply(_stack(list(tensors)), _root(chosen(group), src, None, "scatter"), group)


def reduce_scatter(output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The reduction of all ranks' lists, one part for each; `output` says nothing more."""
    return _ReduceScatter.apply(_stack(list(input_list)), op, group)


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """Each rank's n-th tensor goes to rank n; `output_tensor_list` says which shapes come."""
    takes = tuple(tensor.numel() for tensor in output_tensor_list)
    gives = tuple(tensor.numel() for tensor in input_tensor_list)
    flat = cat([tensor.reshape(-1) for tensor in input_tensor_list])
    pieces = _AllToAll.apply(flat, takes, gives, group).split(list(takes))
    return tuple(piece.view(like.shape) for piece, like in zip(pieces, output_tensor_list, strict=True))


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None
) -> Tensor:
    """The same with the parts in one tensor."""
    n = chosen(group).size()
    takes = tuple(output_split_sizes or [output.shape[0] // n] * n)
    gives = tuple(input_split_sizes or [input.shape[0] // n] * n)
    return _AllToAll.apply(input, takes, gives, group)
