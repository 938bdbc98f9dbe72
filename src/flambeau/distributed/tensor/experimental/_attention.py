"""Attention over a sequence that is cut over processes: each has the queries of its part, and gathers the keys and values of all."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from ....core.tensor.tensor import Tensor
from ....nn import functional as F
from ....ops.making.ranges import arange
from ....ops.shape.joining import cat
from ....overrides import TorchFunctionMode
from ..._functional_collectives import all_gather_single
from ...device_mesh import DeviceMesh


@dataclasses.dataclass
class _ContextParallelOptions:
    """`enable_load_balance`: of 2 N pieces of a sequence each of N processes has one of the first and one of the last, so that all have
    as much to look at where attention is causal. Without it, the N-th part."""

    convert_to_f32: bool = True
    enable_load_balance: bool = True
    rotate_method: str = "allgather"


_cp_options = _ContextParallelOptions()


def set_rotate_method(rotate_method: str) -> None:
    """How keys and values go round in PyTorch: "allgather" or "alltoall". Here they are gathered with both, with the same results.
    NotImplementedError for another name."""
    if rotate_method not in ("allgather", "alltoall"):
        raise NotImplementedError(f"set_rotate_method({rotate_method!r}): there are 'allgather' and 'alltoall'")
    _cp_options.rotate_method = rotate_method


def _own(length: int, mesh: DeviceMesh, rank: int, balanced: bool) -> Any:
    """The places in the whole sequence that a process has, in its order. ValueError if it can't be cut evenly."""
    n = mesh.size()
    pieces = 2 * n if balanced else n
    if length % pieces:
        raise ValueError(
            f"context_parallel: a sequence of {length} can't be cut into {pieces} equal pieces, "
            f"{'two for each process' if balanced else 'one for each process'}"
        )
    each = length // pieces
    starts = (rank, pieces - 1 - rank) if balanced else (rank,)
    return cat([arange(i * each, (i + 1) * each) for i in starts])


def _all(length: int, mesh: DeviceMesh, balanced: bool) -> Any:
    return cat([_own(length, mesh, rank, balanced) for rank in range(mesh.size())])


class _OverParts(TorchFunctionMode):
    """Attention as if the sequence were whole."""

    def __init__(self, mesh: DeviceMesh, balanced: bool):
        self.mesh, self.balanced = mesh, balanced

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return self.attention(*args, **(kwargs or {}))
        if func is F.multi_head_attention_forward:
            raise NotImplementedError(
                "context_parallel: MultiheadAttention would look at this process's part alone; call F.scaled_dot_product_attention"
            )
        return func(*args, **(kwargs or {}))

    def attention(
        self, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, *,
        scale: float | None = None, enable_gqa: bool = False,
    ) -> Any:  # fmt: skip
        if attn_mask is not None or dropout_p:
            raise NotImplementedError(
                "context_parallel: scaled_dot_product_attention takes neither attn_mask nor dropout_p"
            )
        mask = self._causal(query, key) if is_causal else None
        key, value = (all_gather_single(part, part.ndim - 2, self.mesh.get_group()) for part in (key, value))
        return F.scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=enable_gqa)

    def _causal(self, query: Any, key: Any) -> Any:
        if query.shape[-2] != key.shape[-2]:
            raise NotImplementedError("context_parallel: causal attention wants as many queries as keys")
        length = query.shape[-2] * self.mesh.size()
        mine = _own(length, self.mesh, self.mesh.get_local_rank(), self.balanced)
        return mine.unsqueeze(1) >= _all(length, self.mesh, self.balanced)


@contextlib.contextmanager
def context_parallel(
    mesh: DeviceMesh,
    *,
    buffers: Sequence[Tensor] | None = None,
    buffer_seq_dims: Sequence[int] | None = None,
    no_restore_buffers: set[Tensor] | None = None,
) -> Iterator[None]:
    """A context in which each of `buffers` is this process's part of itself along its sequence's dimension, and
    `F.scaled_dot_product_attention` looks at the whole sequence. Afterwards they are whole again, but for `no_restore_buffers`. All
    processes of the mesh, which has one side, make the same calls; gradients of a loss of the parts are to be added up over them.

    ValueError where lists differ in length, for a sequence that can't be cut evenly, and for a buffer that requires grad.
    NotImplementedError for a mesh of devices of one process, and for attention with a mask or dropout.
    """
    given, dims, kept = list(buffers or ()), list(buffer_seq_dims or ()), no_restore_buffers or set()
    if len(given) != len(dims):
        raise ValueError("`seq_dims` must have the same number of elements as `buffers`.")
    if any(all(one is not buffer for buffer in given) for one in kept):
        raise ValueError("`no_restore_buffers` must be a subset of `buffers`.")
    if any(buffer.requires_grad for buffer in given):
        raise ValueError("context_parallel: buffers are inputs that lie along the sequence, none that requires grad")
    if not mesh.several or mesh.ndim != 1:
        raise NotImplementedError("context_parallel: a mesh of one side over several processes is wanted")
    balanced, whole = _cp_options.enable_load_balance, [buffer.data for buffer in given]
    parts = [
        buffer.index_select(dim, _own(buffer.shape[dim], mesh, mesh.get_local_rank(), balanced))
        for buffer, dim in zip(whole, dims, strict=True)
    ]
    try:
        for buffer, part in zip(given, parts, strict=True):
            buffer.data = part
        with _OverParts(mesh, balanced):
            yield
    finally:
        for buffer, before in zip(given, whole, strict=True):
            if all(buffer is not one for one in kept):
                buffer.data = before


def context_parallel_unshard(
    mesh: DeviceMesh, buffers: Sequence[Tensor], seq_dims: Sequence[int], load_balancer: Any = None
) -> list[Tensor]:
    """What was computed of the parts within `context_parallel`, whole and in the sequence's order. NotImplementedError for a
    `load_balancer` of one's own."""
    if load_balancer is not None:
        raise NotImplementedError("context_parallel_unshard(load_balancer=): the order is that of context_parallel")
    found: list[Tensor] = []
    for buffer, dim in zip(buffers, seq_dims, strict=True):
        whole = all_gather_single(buffer, dim % buffer.ndim, mesh.get_group())
        order = _all(whole.shape[dim], mesh, _cp_options.enable_load_balance).argsort()
        found.append(whole.index_select(dim, order))
    return found
