"""A group's own methods, `group.allreduce([x]).wait()`: the collectives by PyTorch's lower names, which always give a Work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.tensor.tensor import Tensor
from . import collectives, point_to_point
from .exchange import Pending
from .groups import ProcessGroup, ReduceOp, get_global_rank
from .options import AllreduceOptions, BroadcastOptions, GatherOptions, ReduceOptions
from .work import Work, several


def _list(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


def _one(value: Any) -> Any:
    """The only entry of a list, or what is given without one."""
    if isinstance(value, Sequence):
        if len(value) != 1:
            raise ValueError(f"a process has one device here: give a list of one entry, not of {len(value)}")
        return value[0]
    return value


def _only(value: Any) -> Any:
    """The list itself, or the only list in a list of lists; none for an empty one."""
    return _one(value) if value and not isinstance(value[0], Tensor) else value


def _reduction(option: Any) -> Any:
    return option.reduceOp if isinstance(option, AllreduceOptions) else option


def _root(option: Any) -> int:
    rooted = isinstance(option, (ReduceOptions, BroadcastOptions, GatherOptions))
    return int(option.rootRank if rooted else option)


def _work(made: Work | None) -> Work:
    return made if made is not None else Work(Pending().do(lambda: None), lambda _: None, [])


def _begun(group: ProcessGroup, call: Callable[..., Any], *args: Any, timeout: Any = None, **more: Any) -> Work:
    if timeout is not None:
        raise NotImplementedError(f"a timeout of one {call.__name__}: give it to group.set_timeout, or to new_group")
    return _work(call(*args, group=group, async_op=True, **more))


def allreduce(
    self: ProcessGroup, tensors: Any = None, opts: Any = ReduceOp.SUM, timeout: Any = None, *, tensor: Any = None, op: Any = None
) -> Work:  # fmt: skip
    """`all_reduce` of a tensor, or of the one in a list. ValueError for several: `allreduce_coalesced` takes them."""
    given = _list(tensors if tensor is None else tensor)
    reduction = _reduction(opts if op is None else op)
    if len(given) != 1:
        raise ValueError(f"a process has one device here: give one tensor, not {len(given)}; see allreduce_coalesced")
    return _begun(self, collectives.all_reduce, given[0], op=reduction, timeout=timeout)


def allreduce_coalesced(self: ProcessGroup, tensors: Any, opts: Any = ReduceOp.SUM) -> Work:
    """`all_reduce` of each tensor."""
    works = [_begun(self, collectives.all_reduce, t, op=_reduction(opts)) for t in tensors]
    return several(works, list(tensors))


def broadcast(
    self: ProcessGroup, tensors: Any = None, opts: Any = 0, timeout: Any = None, *, tensor: Any = None, root: Any = None
) -> Work:  # fmt: skip
    """`broadcast` from a rank of the group."""
    given = _list(tensors if tensor is None else tensor)
    source = _root(opts if root is None else root)
    return several([_begun(self, collectives.broadcast, t, group_src=source, timeout=timeout) for t in given], given)


def reduce(
    self: ProcessGroup, tensors: Any = None, opts: Any = 0, op: Any = None, timeout: Any = None, *, tensor: Any = None,
    root: Any = None,
) -> Work:  # fmt: skip
    """`reduce` to a rank of the group."""
    given, target = tensors if tensor is None else tensor, _root(opts if root is None else root)
    reduction = op if op is not None else _reduction(opts) if isinstance(opts, ReduceOptions) else ReduceOp.SUM
    return _begun(self, collectives.reduce, _one(given), group_dst=target, op=reduction, timeout=timeout)


def allgather(
    self: ProcessGroup, output_tensors: Any, input_tensors: Any = None, opts: Any = None, timeout: Any = None, *,
    input_tensor: Any = None,
) -> Work:  # fmt: skip
    """`all_gather` into a list, or into the only list of a list."""
    given = input_tensors if input_tensor is None else input_tensor
    return _begun(self, collectives.all_gather, _only(output_tensors), _one(given), timeout=timeout)


def allgather_coalesced(self: ProcessGroup, output_lists: Any, input_list: Any, opts: Any = None) -> Work:
    """`all_gather` of each tensor."""
    pairs = enumerate(input_list)
    works = [_begun(self, collectives.all_gather, [row[i] for row in output_lists], t) for i, t in pairs]
    return several(works, [t for row in output_lists for t in row])


def all_gather_single(self: ProcessGroup, output: Tensor, input: Tensor, opts: Any = None) -> Work:
    """`all_gather_into_tensor`."""
    return _begun(self, collectives.all_gather_single, output, input)


def all_gather_single_coalesced(self: ProcessGroup, outputs: Any, inputs: Any, opts: Any = None) -> Work:
    """`all_gather_into_tensor` of each tensor."""
    return several([all_gather_single(self, o, i) for o, i in zip(outputs, inputs, strict=True)], list(outputs))


def gather(
    self: ProcessGroup, output_tensors: Any, input_tensors: Any = None, opts: Any = 0, timeout: Any = None, *,
    input_tensor: Any = None, root: Any = None,
) -> Work:  # fmt: skip
    """`gather` to a rank of the group; the others give an empty list."""
    given, target = input_tensors if input_tensor is None else input_tensor, _root(opts if root is None else root)
    lists = _only(output_tensors) or None
    return _begun(self, collectives.gather, _one(given), lists, group_dst=target, timeout=timeout)


def scatter(
    self: ProcessGroup, output_tensors: Any = None, input_tensors: Any = None, opts: Any = 0, timeout: Any = None, *,
    output_tensor: Any = None, root: Any = None,
) -> Work:  # fmt: skip
    """`scatter` from a rank of the group; the others give an empty list."""
    target, source = output_tensors if output_tensor is None else output_tensor, _root(opts if root is None else root)
    lists = _only(input_tensors) or None
    return _begun(self, collectives.scatter, _one(target), lists, group_src=source, timeout=timeout)


def reduce_scatter(
    self: ProcessGroup, output_tensors: Any = None, input_tensors: Any = None, opts: Any = ReduceOp.SUM, timeout: Any = None,
    *, output: Any = None, input: Any = None, op: Any = None,
) -> Work:  # fmt: skip
    """`reduce_scatter` of a list, or of the only list of a list."""
    target, given = output_tensors if output is None else output, input_tensors if input is None else input
    reduction = _reduction(opts if op is None else op) or ReduceOp.SUM
    return _begun(self, collectives.reduce_scatter, _one(target), _only(given), op=reduction, timeout=timeout)


def reduce_scatter_single(
    self: ProcessGroup, outputTensor: Tensor, inputTensor: Tensor, opts: Any = ReduceOp.SUM
) -> Work:
    """`reduce_scatter_tensor`."""
    return _begun(self, collectives.reduce_scatter_single, outputTensor, inputTensor, op=_reduction(opts))


def reduce_scatter_single_coalesced(self: ProcessGroup, outputs: Any, inputs: Any, opts: Any = ReduceOp.SUM) -> Work:
    """`reduce_scatter_tensor` of each tensor."""
    pairs = zip(outputs, inputs, strict=True)
    return several([reduce_scatter_single(self, o, i, opts) for o, i in pairs], list(outputs))


def alltoall(self: ProcessGroup, output_tensors: Any, input_tensors: Any, opts: Any = None) -> Work:
    """`all_to_all`."""
    return _begun(self, collectives.all_to_all, output_tensors, input_tensors)


def all_to_all_single(
    self: ProcessGroup, output: Tensor, input: Tensor, output_split_sizes: Any, input_split_sizes: Any, opts: Any = None,
    timeout: Any = None,
) -> Work:  # fmt: skip
    """`all_to_all_single`; empty lists for equal parts."""
    sizes = list(output_split_sizes), list(input_split_sizes)
    return _begun(self, collectives.all_to_all_single, output, input, *sizes, timeout=timeout)


def barrier(self: ProcessGroup, opts: Any = None, timeout: Any = None) -> Work:
    """`barrier`."""
    return _work(collectives.barrier(self, async_op=True, timeout=timeout))


def monitored_barrier(self: ProcessGroup, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """`monitored_barrier`."""
    collectives.monitored_barrier(self, timeout, wait_all_ranks)


def send(self: ProcessGroup, tensors: Any, dstRank: int, tag: int) -> Work:
    """`isend` to a rank of the group."""
    return _work(point_to_point.isend(_one(tensors), get_global_rank(self, dstRank), self, tag))


def recv(self: ProcessGroup, tensors: Any, srcRank: int, tag: int) -> Work:
    """`irecv` from a rank of the group."""
    return _work(point_to_point.irecv(_one(tensors), get_global_rank(self, srcRank), self, tag))


def recv_anysource(self: ProcessGroup, tensors: Any, tag: int) -> Work:
    """`irecv` from any rank."""
    return _work(point_to_point.irecv(_one(tensors), None, self, tag))


def shutdown(self: ProcessGroup) -> None:
    """Let the group's threads end."""
    self.exchange.close()


_METHODS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (
        allreduce, allreduce_coalesced, broadcast, reduce, allgather, allgather_coalesced, all_gather_single,
        all_gather_single_coalesced, gather, scatter, reduce_scatter, reduce_scatter_single, reduce_scatter_single_coalesced,
        alltoall, all_to_all_single, barrier, monitored_barrier, send, recv, recv_anysource, shutdown,
    )},
    "abort": shutdown,
    "alltoall_base": all_to_all_single,
    "_allgather_base": all_gather_single,
    "allgather_into_tensor_coalesced": all_gather_single_coalesced,
    "_reduce_scatter_base": reduce_scatter_single,
    "reduce_scatter_tensor_coalesced": reduce_scatter_single_coalesced,
}  # fmt: skip
for _name, _method in _METHODS.items():
    setattr(ProcessGroup, _name, _method)
