"""Collectives of a group of one: what comes in goes out. Arguments are checked as if there were others."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..core.array import dtypes
from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from .groups import NOT_YET, ReduceOp, chosen

_BITWISE = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)


class Work:
    """A collective that was begun with `async_op=True`; it has ended."""

    def __init__(self, results: list[Tensor]):
        self._results = results

    def wait(self, timeout: Any = None) -> bool:
        """True, at once."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    is_success = is_completed

    def exception(self) -> None:
        """None: nothing went wrong."""

    def result(self) -> list[Tensor]:
        """The tensors that it wrote to."""
        return self._results

    def get_future(self) -> Any:
        """Something to `wait()` for that gives the results."""
        return _Done(self._results)


class _Done:
    def __init__(self, value: Any):
        self._value = value

    def wait(self) -> Any:
        """The value."""
        return self._value

    value = wait

    def done(self) -> bool:
        """True."""
        return True

    def then(self, callback: Callable[[Any], Any]) -> _Done:
        """The same for what a function makes of it."""
        return _Done(callback(self))


def _tensor(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n             but got {type(value)} instead."
        )
    return value


def _tensors(values: Any, name: str) -> list[Tensor]:
    if not isinstance(values, Sequence) or not all(isinstance(v, Tensor) for v in values):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n             "
            f"but got {type(values)} with elements of type {[type(v) for v in values]}."
        )
    return list(values)


def _reducible(tensor: Tensor, op: Any) -> None:
    if op in _BITWISE and tensor.dtype.category >= dtypes.FLOAT:
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")


def _root(rank: int | None, group_rank: int | None, kind: str) -> None:
    if (rank if group_rank is None else group_rank) not in (None, 0):
        raise RuntimeError(f"ProcessGroupGloo::{kind}: invalid root rank: {rank if group_rank is None else group_rank}")


def _one(values: list[Tensor], kind: str, like: Tensor) -> Tensor:
    if len(values) != 1:
        raise RuntimeError(
            f"ProcessGroupGloo::{kind}: invalid output tensor list at index 0 (expected length 1, got {len(values)})"
        )
    if values[0].shape != like.shape:
        raise RuntimeError(
            f"ProcessGroupGloo::{kind}: invalid tensor size at index 0 (expected ({_sizes(like)}), got ({_sizes(values[0])}))"
        )
    return values[0]


def _sizes(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape))


def _written(target: Tensor, source: Tensor) -> Tensor:
    with no_grad():
        return target.copy_(source)


def _ended(results: list[Tensor], async_op: bool) -> Work | None:
    return Work(results) if async_op else None


def _renamed(old: str, function: Callable[..., Any]) -> Callable[..., Any]:
    new = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        where = "torch.distributed"
        text = f"`{where}.{old}` is deprecated. Please use `{where}.{new}` instead."
        warnings.warn(text, FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = old
    return call


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """The sum (or `op`) over all ranks, written into the tensor."""
    chosen(group)
    _reducible(_tensor(tensor, "tensor"), op)
    return _ended([tensor], async_op)


def all_reduce_coalesced(
    tensors: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """`all_reduce` of each tensor."""
    chosen(group)
    return _ended(_tensors(tensors, "tensor"), async_op)


def reduce(
    tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """`all_reduce`, of use on rank `dst` only."""
    chosen(group)
    _reducible(_tensor(tensor, "tensor"), op)
    _root(dst, group_dst, "reduce")
    return _ended([tensor], async_op)


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """Rank `src`'s values, written into every rank's tensor."""
    chosen(group)
    _tensor(tensor, "tensor")
    _root(src, group_src, "broadcast")
    return _ended([tensor], async_op)


def all_gather(tensor_list: Any, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Every rank's tensor, written into the tensors of the list."""
    chosen(group)
    target = _one(_tensors(tensor_list, "tensor_list"), "allgather", _tensor(tensor, "tensor"))
    return _ended([_written(target, tensor)], async_op)


def all_gather_single(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Every rank's tensor, one after the other in one tensor."""
    chosen(group)
    target = _one([_tensor(output_tensor, "output_tensor")], "allgather", _tensor(input_tensor, "input_tensor"))
    return _ended([_written(target, input_tensor)], async_op)


all_gather_into_tensor = _renamed("all_gather_into_tensor", all_gather_single)


def all_gather_coalesced(
    output_tensor_lists: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """`all_gather` of each tensor."""
    for index, tensor in enumerate(_tensors(input_tensor_list, "input_tensor_list")):
        all_gather([row[index] for row in output_tensor_lists], tensor, group)
    return _ended([t for row in output_tensor_lists for t in row], async_op)


def gather(
    tensor: Any, gather_list: Any = None, dst: int | None = None, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Every rank's tensor, written into the tensors of rank `dst`'s list."""
    chosen(group)
    _tensor(tensor, "tensor")
    _root(dst, group_dst, "gather")
    if not gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    return _ended([_written(_one(_tensors(gather_list, "gather_list"), "gather", tensor), tensor)], async_op)


def scatter(
    tensor: Any, scatter_list: Any = None, src: int | None = None, group: Any = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """The entries of rank `src`'s list, one for each rank's tensor."""
    chosen(group)
    _tensor(tensor, "tensor")
    _root(src, group_src, "scatter")
    if not scatter_list:
        raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
    return _ended([_written(tensor, _one(_tensors(scatter_list, "scatter_list"), "scatter", tensor))], async_op)


def reduce_scatter(
    output: Any, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """The sums over all ranks of the lists' entries, one for each rank's tensor."""
    chosen(group)
    _reducible(_tensor(output, "output"), op)
    return _ended([_written(output, _one(_tensors(input_list, "input_list"), "reduce_scatter", output))], async_op)


def reduce_scatter_single(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """`reduce_scatter` of the parts of one tensor."""
    chosen(group)
    _reducible(_tensor(output, "output"), op)
    return _ended([_written(output, _one([_tensor(input, "input")], "reduce_scatter", output))], async_op)


reduce_scatter_tensor = _renamed("reduce_scatter_tensor", reduce_scatter_single)


def all_to_all(
    output_tensor_list: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """Every rank's n-th entry goes to rank n."""
    chosen(group)
    outputs = _tensors(output_tensor_list, "output_tensor_list")
    inputs = _tensors(input_tensor_list, "input_tensor_list")
    return _ended([_written(_one(outputs, "alltoall", inputs[0]), inputs[0])], async_op)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """`all_to_all` of the parts of one tensor."""
    chosen(group)
    return _ended([_written(_one([_tensor(output, "output")], "alltoall", _tensor(input, "input")), input)], async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None, timeout: Any = None) -> Work | None:
    """Return when every rank has come here."""
    chosen(group)
    return _ended([], async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """`barrier`, which names ranks that do not come."""
    chosen(group)


def _no_other(kind: str, rank: int | None, group: Any) -> None:
    chosen(group)
    if rank in (None, 0):
        raise ValueError(f"Invalid {kind} rank: {kind} rank should not be the same as the rank of the current process.")
    raise RuntimeError(f"{NOT_YET}; there is no rank {rank}")


def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """There is nobody to send to: ValueError or RuntimeError."""
    _no_other("destination", dst if group_dst is None else group_dst, group)


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """There is nobody to receive from: ValueError or RuntimeError."""
    _no_other("source", src if group_src is None else group_src, group)
    raise AssertionError


isend, irecv = send, recv


class P2POp:
    """One `isend` or `irecv` for `batch_isend_irecv`."""

    def __init__(
        self,
        op: Any,
        tensor: Any,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ):
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or ``torch.distributed.irecv``."
            )
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Begin all of them."""
    for entry in p2p_op_list:
        entry.op(entry.tensor, entry.peer, entry.group, entry.tag)
    return []


__all__ = [
    name for name, value in list(globals().items()) if getattr(value, "__module__", None) == __name__ and name[0] != "_"
]
