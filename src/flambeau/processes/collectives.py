"""Collectives of tensors. What all ranks have to agree on goes through `running`; what one rank says wrongly is refused here."""

from __future__ import annotations

import contextlib
import functools
import pdb
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from ..core.array import dtypes
from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor
from .errors import DistBackendError
from .exchange import Absent, Pending
from .groups import ReduceOp, chosen, default_group, get_group_rank, limit_of
from .patterns import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, BROADCAST, REDUCE_SCATTER, SCATTER
from .running import operator_of, outside, run, seen, shaped, together, untraced, write
from .sparse_sums import all_reduce_sparse
from .work import Future, Work, several

_BITWISE = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)


def _tensor(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n             but got {type(value)} instead."
        )
    return value


def _tensors(values: Any, name: str) -> list[Tensor]:
    if not isinstance(values, Sequence) or not all(isinstance(v, Tensor) for v in values):
        what = (
            f" with elements of type {[type(v) for v in values]}." if isinstance(values, (list, tuple)) else " instead."
        )
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n             but got {type(values)}{what}"
        )
    return list(values)


def _reducible(tensor: Tensor, op: Any) -> str:
    if not isinstance(op, ReduceOp.RedOpType) or op == ReduceOp.PREMUL_SUM:
        raise TypeError(f"(): incompatible function arguments: a reduction by {op} is not there; use another ReduceOp")
    category = tensor.dtype.category
    if op in _BITWISE and category >= dtypes.FLOAT:
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")
    if op == ReduceOp.AVG and category < dtypes.FLOAT:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {tensor.dtype.abbr}")
    return op.name


def _whole(tensor: Tensor, op: Any, name: str) -> str:
    if tensor.is_complex() and op not in (ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PREMUL_SUM):
        raise ValueError(f"{name} does not support {op!s} on complex tensors")
    return _reducible(tensor, op)


def _root(group: Any, rank: int | None, group_rank: int | None, kind: str) -> int:
    """The root's number in the group."""
    if group_rank is not None:
        if rank is not None:
            raise ValueError("Can't specify both group_rank and global_rank")
        if not 0 <= group_rank < group.size():
            raise RuntimeError(f"ProcessGroupGloo::{kind}: invalid root rank: {group_rank}")
        return group_rank
    if rank is None:
        if kind in ("broadcast", "reduce"):  # the others' first rank stands for it
            raise ValueError("Must specify global_rank or group_rank")
        return 0
    if group is default_group() and not 0 <= rank < group.size():
        raise RuntimeError(f"ProcessGroupGloo::{kind}: invalid root rank: {rank}")
    return get_group_rank(group, rank)


def _fitting(
    values: list[Tensor], kind: str, n: int, like: Tensor, what: str = "output tensor list at index 0"
) -> None:
    if len(values) != n:
        raise RuntimeError(f"ProcessGroupGloo::{kind}: invalid {what} (expected length {n}, got {len(values)})")
    for index, value in enumerate(values):
        if value.shape != like.shape:
            raise RuntimeError(
                f"ProcessGroupGloo::{kind}: invalid tensor size at index {index} (expected ({_sizes(like)}), got ({_sizes(value)}))"
            )
        if value.dtype != like.dtype:
            raise RuntimeError(
                f"ProcessGroupGloo::{kind}: invalid tensor type at index {index} (expected {like.dtype}, got {value.dtype})"
            )


def _sizes(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape))


def _renamed(old: str, function: Callable[..., Any], private: bool = False) -> Callable[..., Any]:
    new = function.__name__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        where = "torch.distributed"
        text = f"`{where}.{old}` is deprecated. Please use `{where}.{new}` instead."
        warnings.warn(message("private_collective", old=old, new=new) if private else text, FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = old
    return call


def _stacked(tensors: Sequence[Tensor]) -> Any:
    return jnp.stack([tensor._array for tensor in tensors])


def _rows(targets: Sequence[Tensor]) -> Callable[[Any], None]:
    def put(array: Any) -> None:
        for target, row in zip(targets, array, strict=True):
            write(target, row)

    return put


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """The sum (or `op`) over all ranks, written into the tensor."""
    if outside(group, "all_reduce"):
        return None
    if _tensor(tensor, "tensor").is_sparse:
        return all_reduce_sparse(chosen(group), tensor, op, async_op)
    reduction = _whole(tensor, op, "all_reduce")
    group, value = chosen(group), tensor._array
    put = functools.partial(write, tensor)
    return together(
        group, ALL_REDUCE, value, shaped(value.shape, value.dtype), put, [tensor], async_op, reduction, op=reduction,
        shape=list(value.shape),
    )  # fmt: skip


def all_reduce_coalesced(
    tensors: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Future | None:
    """`all_reduce` of each tensor. With `async_op` a Future of the list."""
    if outside(group, "all_reduce_coalesced"):
        return None
    given = _tensors(tensors, "tensors")

    def begin() -> Any:
        return [all_reduce(tensor, op, group, async_op) for tensor in given]

    works = seen(chosen(group), "all_reduce", given, begin)
    return several(works, given).get_future() if async_op else None


def reduce(
    tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """`all_reduce`, written on rank `dst` only."""
    if outside(group, "reduce"):
        return None
    reduction = _whole(_tensor(tensor, "tensor"), op, "reduce")
    group, value = chosen(group), tensor._array
    root = _root(group, dst, group_dst, "reduce")
    put = functools.partial(write, tensor) if root == group.rank() else _ignored
    return together(
        group, ALL_REDUCE, value, shaped(value.shape, value.dtype), put, [tensor], async_op, reduction, "c10d::reduce_",
        [tensor], "reduce", op=reduction, root=root, shape=list(value.shape),
    )  # fmt: skip


def _ignored(array: Any) -> None:
    pass


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """Rank `src`'s values, written into every rank's tensor."""
    if outside(group, "broadcast"):
        return None
    group, value = chosen(group), _tensor(tensor, "tensor")._array
    root = _root(group, src, group_src, "broadcast")
    put = functools.partial(write, tensor)
    return together(
        group, BROADCAST, value, shaped(value.shape, value.dtype), put, [tensor], async_op, root, root=root, shape=list(value.shape)
    )  # fmt: skip


def _gathered(
    group: Any, tensor: Tensor, put: Callable[[Any], Any], targets: Any, async_op: bool, operator: str = "",
    event: str = "", **said: Any,
) -> Work | None:  # fmt: skip
    value = tensor._array
    shape = (group.size(), *value.shape)
    return together(
        group, ALL_GATHER, value, shaped(shape, value.dtype), put, targets, async_op, operator=operator, given=[tensor],
        event=event, shape=list(value.shape), **said,
    )  # fmt: skip


def all_gather(tensor_list: Any, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Every rank's tensor, written into the tensors of the list."""
    if outside(group, "all_gather"):
        return None
    group, targets = chosen(group), _tensors(tensor_list, "tensor_list")
    for target in (*targets, _tensor(tensor, "tensor")):
        if target.dtype != targets[0].dtype:
            raise ValueError(
                f"Invalid usage of tensors with different dtypesFound {targets[0].dtype} and  {target.dtype}"
            )
    _fitting(targets, "allgather", group.size(), tensor)
    return _gathered(group, tensor, _rows(targets), targets, async_op, "c10d::allgather_")


def all_gather_single(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Every rank's tensor in one: one after the other, or stacked, as the output's shape says."""
    if outside(group, "all_gather_single"):
        return None
    group, target, tensor = (
        chosen(group),
        _tensor(output_tensor, "output_tensor"),
        _tensor(input_tensor, "input_tensor"),
    )
    if target.numel() != tensor.numel() * group.size() or target.dtype != tensor.dtype:
        row = list(target.shape)
        if row and row[0] % group.size() == 0:
            row[0] //= group.size()
        raise RuntimeError(
            f"ProcessGroupGloo::allgather: invalid tensor size at index 0 (expected ({_sizes(tensor)}), got "
            f"({', '.join(map(str, row))}))"
        )
    return _gathered(group, tensor, lambda array: write(target, array.reshape(target.shape)), [target], async_op)


all_gather_into_tensor: Callable[..., Any] = _renamed("all_gather_into_tensor", all_gather_single)


def all_gather_coalesced(
    output_tensor_lists: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False
) -> Future | None:
    """`all_gather` of each tensor. With `async_op` a Future of the lists."""
    given = _tensors(input_tensor_list, "input_tensor_list")

    def begin() -> Any:
        return [all_gather([row[i] for row in output_tensor_lists], t, group, async_op) for i, t in enumerate(given)]

    works = seen(chosen(group), "all_gather", given, begin)
    return several(works, output_tensor_lists).get_future() if async_op else None


def gather(
    tensor: Any, gather_list: Any = None, dst: int | None = None, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Every rank's tensor, written into the tensors of rank `dst`'s list."""
    if outside(group, "gather"):
        return None
    group = chosen(group)
    _tensor(tensor, "tensor")
    root = _root(group, dst, group_dst, "gather")
    if root != group.rank():
        if gather_list:
            raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
        return _gathered(group, tensor, _ignored, [], async_op, "c10d::gather_", "gather", root=root)
    if not gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    targets = _tensors(gather_list, "gather_list")
    if len(targets) != group.size():
        raise RuntimeError(
            f"ProcessGroupGloo::gather: Incorrect output list size {len(targets)}. Output list size should be {group.size()}, same "
            "as size of the process group."
        )
    _fitting(targets, "gather", group.size(), tensor)
    return _gathered(group, tensor, _rows(targets), targets, async_op, "c10d::gather_", "gather", root=root)


def scatter(
    tensor: Any, scatter_list: Any = None, src: int | None = None, group: Any = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """The entries of rank `src`'s list, one for each rank's tensor."""
    if outside(group, "scatter"):
        return None
    group = chosen(group)
    target = _tensor(tensor, "tensor")
    root = _root(group, src, group_src, "scatter")
    value, given = None, []
    if root == group.rank():
        if not scatter_list:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        given = _tensors(scatter_list, "scatter_list")
        if len(given) != group.size():
            raise RuntimeError(
                f"ProcessGroupGloo::scatter: Incorrect input list size {len(given)}. Input list size should be {group.size()}, "
                "same as size of the process group."
            )
        _fitting(given, "scatter", group.size(), target)
        value = _stacked(given)
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    held = target._array
    put = functools.partial(write, target)
    return together(
        group, SCATTER, value, shaped(held.shape, held.dtype), put, [target], async_op, root, given=given, root=root,
        shape=list(held.shape),
    )  # fmt: skip


def reduce_scatter(
    output: Any, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """The sums over all ranks of the lists' entries, one for each rank's tensor."""
    if outside(group, "reduce_scatter"):
        return None
    group, target = chosen(group), _tensor(output, "output")
    given = _tensors(input_list, "input_list")
    _fitting(given, "reduce_scatter", group.size(), target, "input tensor list at index 0")
    return _scattered(group, target, _stacked(given), given, op, async_op, "c10d::reduce_scatter_")


def _scattered(
    group: Any, target: Tensor, stack: Any, given: list[Tensor], op: Any, async_op: bool, operator: str = ""
) -> Work | None:
    reduction = _whole(target, op, "reduce_scatter")
    put = functools.partial(write, target)
    return together(
        group, REDUCE_SCATTER, stack, shaped(target.shape, stack.dtype), put, [target], async_op, reduction, operator,
        given, op=reduction, shape=list(stack.shape),
    )  # fmt: skip


def reduce_scatter_single(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """`reduce_scatter` of the parts of one tensor."""
    if outside(group, "reduce_scatter_single"):
        return None
    group, target, tensor = chosen(group), _tensor(output, "output"), _tensor(input, "input")
    if tensor.numel() != target.numel() * group.size() or tensor.dtype != target.dtype:
        raise RuntimeError(
            "reduce_scatter: Check failed: outputShape[0] * worldSize == inputShape[0] "
            f"({target.numel() * group.size()} vs. {tensor.numel()}): the output is ({_sizes(target)}) {target.dtype}, the input "
            f"({_sizes(tensor)}) {tensor.dtype}"
        )
    return _scattered(group, target, tensor._array.reshape(group.size(), *target.shape), [tensor], op, async_op)


reduce_scatter_tensor: Callable[..., Any] = _renamed("reduce_scatter_tensor", reduce_scatter_single)


_all_gather_base: Callable[..., Any] = _renamed("_all_gather_base", all_gather_single, private=True)
_reduce_scatter_base: Callable[..., Any] = _renamed("_reduce_scatter_base", reduce_scatter_single, private=True)


def _exchanged(
    group: Any,
    flat: Any,
    gives: list[int],
    takes: list[int],
    put: Any,
    targets: Any,
    async_op: bool,
    given: list[Tensor],
    operator: str = "",
) -> Work | None:
    operator = operator_of(ALL_TO_ALL, operator)
    exchange, said = group.exchange, {"dtype": np.dtype(flat.dtype).name}
    result = shaped((sum(takes),), flat.dtype)
    equal = len({*gives, *takes}) == 1

    def job(host: Any) -> Any:
        return exchange.all_to_all(host, gives, takes, said, operator)

    def body(mine: Any, n: int) -> Any:
        return ALL_TO_ALL.body(mine.reshape(n, -1), n, None).reshape(-1)

    begin = functools.partial(
        run, exchange, job, flat, result, put, targets, async_op, ALL_TO_ALL.name, body if equal else None
    )
    made: Work | None = seen(group, ALL_TO_ALL.name, given, begin)
    return made


def all_to_all(
    output_tensor_list: Any, input_tensor_list: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """Every rank's n-th entry goes to rank n."""
    if outside(group, "all_to_all"):
        return None
    group = chosen(group)
    outputs = _tensors(output_tensor_list, "output_tensor_list")
    inputs = _tensors(input_tensor_list, "input_tensor_list")
    for tensors, name in ((outputs, "output"), (inputs, "input")):
        if len(tensors) != group.size():
            raise RuntimeError(
                f"ProcessGroupGloo::alltoall: invalid {name} tensor list at index 0 (expected length {group.size()}, got {len(tensors)})"
            )
    flat = jnp.concatenate([tensor._array.reshape(-1) for tensor in inputs])
    takes = [tensor.numel() for tensor in outputs]
    ends = np.cumsum(takes)

    def put(array: Any) -> None:
        for target, end in zip(outputs, ends, strict=True):
            write(target, array[end - target.numel() : end].reshape(target.shape))

    return _exchanged(
        group, flat, [tensor.numel() for tensor in inputs], takes, put, outputs, async_op, inputs, "c10d::alltoall_"
    )


def _splits(tensor: Tensor, sizes: Any, group: Any, name: str) -> list[int]:
    rows = tensor.shape[0] if tensor.dim() else 0
    if not sizes:
        if rows % group.size():
            raise RuntimeError(f"Tensor's dim 0 does not divide equally across group size: {name} of {rows} rows")
        sizes = [rows // group.size()] * group.size()
    if len(sizes) != group.size():
        raise RuntimeError("Number of tensor splits not equal to group size")
    if sum(sizes) != rows:
        raise RuntimeError("Split sizes doesn't match total dim 0 size")
    each = tensor.numel() // rows if rows else 0
    return [int(size) * each for size in sizes]


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """`all_to_all` of the parts of one tensor."""
    if outside(group, "all_to_all_single"):
        return None
    group, target, tensor = chosen(group), _tensor(output, "output"), _tensor(input, "input")
    takes = _splits(target, output_split_sizes, group, "output")
    gives = _splits(tensor, input_split_sizes, group, "input")
    put: Callable[[Any], Any] = lambda array: write(target, array.reshape(target.shape))  # noqa: E731
    return _exchanged(group, tensor._array.reshape(-1), gives, takes, put, [target], async_op, [tensor])


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None, timeout: Any = None) -> Work | None:
    """Return when every rank has come here."""
    if outside(group, "barrier"):
        return None
    group = chosen(group)
    exchange = group.exchange
    limit = None if timeout is None else timeout.total_seconds()

    def job(_: Any) -> Any:
        return exchange.meet({"what": "barrier"}, None, limit)

    begin = functools.partial(run, exchange, job, None, None, _ignored, [], async_op, "barrier", lambda value, n: value)
    made: Work | None = seen(group, "barrier", [], begin)
    return made


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """`barrier`, which names ranks that do not come, or do something else: RuntimeError."""
    if outside(group, "monitored_barrier"):
        return
    untraced("monitored_barrier")
    exchange = chosen(group).exchange
    if isinstance(timeout, float):
        warnings.warn(message("timeout_as_float", timeout=timeout), UserWarning, stacklevel=2)
        timeout = timedelta(seconds=timeout)
    limit = limit_of(timeout, exchange.timeout)
    try:
        run(
            exchange,
            lambda _: exchange.meet({"what": "monitored_barrier"}, None, limit),
            None,
            None,
            _ignored,
            [],
            False,
        )
    except Absent as error:
        cause = f"\n Original exception: \n{error if limit else _at_once(exchange)}"
        many = "s" if len(error.ranks) > 1 and wait_all_ranks else ""
        named = error.ranks if wait_all_ranks else error.ranks[:1]
        text = f"Rank{many} {', '.join(map(str, named))} failed to pass monitoredBarrier in {int(limit * 1000)} ms"
        if exchange.me:
            text = message("monitored_barrier_of_others", rank=exchange.rank) + f" ({text})"
        raise DistBackendError(f"[Rank {exchange.rank}]: {text}{cause}") from error


def _at_once(exchange: Any) -> str:
    return f"Rank {exchange.rank} timed out in monitoredBarrier after 0 ms.\nNo ranks successfully processed in monitoredBarrier."


_breaks = 0


def breakpoint(rank: int = 0, skip: int = 0, timeout_s: float = 3600) -> None:
    """Stop in the debugger on one rank, after `skip` calls; the others wait for it, up to `timeout_s` seconds."""
    global _breaks
    _breaks += 1
    if _breaks <= skip:
        return
    if chosen(None).rank() == rank:
        pdb.Pdb().set_trace(sys._getframe().f_back)
    barrier(timeout=timedelta(seconds=timeout_s))


@contextlib.contextmanager
def _coalescing_manager(group: Any = None, device: Any = None, async_ops: bool = False) -> Iterator[Any]:
    """The collectives inside run one after the other, as they would without."""
    yield Work(Pending().do(lambda: None), _ignored, [])


if not TYPE_CHECKING:  # type checkers take every name
    __all__ = [
        name
        for name, value in list(globals().items())
        if getattr(value, "__module__", None) == __name__ and name[0] != "_"
    ]
    __all__ += ["Work"]
