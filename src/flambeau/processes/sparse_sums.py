"""`all_reduce` of sparse tensors: every rank's places and values, added up by each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor, from_host
from ..ops.indexing.masking import copy_
from ..ops.sparse.coo import coalesce, sparse_coo_tensor
from .groups import ReduceOp
from .patterns import ALL_GATHER
from .running import run, seen, untraced
from .work import Work


def all_reduce_sparse(group: Any, tensor: Tensor, op: Any, async_op: bool) -> Work | None:
    """The sum over all ranks, written into the tensor. RuntimeError for another `op`, and for other layouts than coordinates."""
    if op != ReduceOp.SUM:
        raise RuntimeError(
            "ProcessGroupGloo::allreduce: unsupported reduction operation (allreduce of sparse tensors only works with ReduceOp.SUM)"
        )
    untraced("all_reduce of a sparse tensor")
    exchange, shape = group.exchange, list(tensor.shape)
    with no_grad():
        mine = coalesce(tensor.detach())
    places, values = np.asarray(mine._indices()._array), np.asarray(mine._values()._array)

    def gathered(array: np.ndarray, counts: np.ndarray, **said: Any) -> np.ndarray:
        room = [(0, int(counts.max()) - len(array))] + [(0, 0)] * (array.ndim - 1)
        padded = np.pad(array, room)
        told = {**said, "of": "sparse", "dtype": array.dtype.name, "shape": list(padded.shape)}
        rows = exchange.together(ALL_GATHER, padded, told)
        return np.concatenate([row[:count] for row, count in zip(rows, counts, strict=True)])

    def job(_: Any) -> Any:
        count = np.array([len(values)])
        counts = exchange.together(ALL_GATHER, count, {"of": "sparse", "dtype": values.dtype.name, "whole": shape})[
            :, 0
        ]
        return gathered(places.T, counts), gathered(values, counts)

    def put(found: Any) -> None:
        everywhere, summands = found
        with no_grad():
            made = sparse_coo_tensor(from_host(np.ascontiguousarray(everywhere.T)), from_host(summands), shape)
            copy_(tensor, coalesce(made))

    begin: Any = lambda: run(exchange, job, None, None, put, [tensor], async_op)  # noqa: E731
    made: Work | None = seen(group, "sparse_all_reduce", [tensor], begin)
    return made
