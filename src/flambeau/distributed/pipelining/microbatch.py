"""How a batch is cut into micro-batches, and how their results are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor.tensor import Tensor
from ...ops.shape.joining import cat
from ...ops.shape.splitting import tensor_split
from ...utils._pytree import tree_flatten, tree_unflatten

__all__ = ["TensorChunkSpec", "merge_chunks", "split_args_kwargs_into_chunks"]


class TensorChunkSpec:
    """The dimension along which a tensor is cut, and put together."""

    def __init__(self, split_dim: int):
        self.split_dim = split_dim

    def __repr__(self) -> str:
        return f"torch.distributed.pipelining.microbatch.{self}"

    def __str__(self) -> str:
        return f"TensorChunkSpec({self.split_dim})"

    @staticmethod
    def from_tuple(chunk_dims: Sequence[int]) -> tuple[TensorChunkSpec, ...]:
        """One for each number."""
        return tuple(TensorChunkSpec(dim) for dim in chunk_dims)

    @staticmethod
    def from_dict(chunk_dims: dict[str, int]) -> dict[str, TensorChunkSpec]:
        """One for each number, by its name."""
        return {name: TensorChunkSpec(dim) for name, dim in chunk_dims.items()}


class _Replicate:
    """Every micro-batch has the whole."""


def split_args_kwargs_into_chunks(
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    chunks: int,
    args_chunk_spec: tuple[Any, ...] | None = None,
    kwargs_chunk_spec: dict[str, Any] | None = None,
) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The arguments of each of `chunks` micro-batches: tensors are cut along the dimension that their spec names (the first, where none
    is given), what is no tensor is the same in all. RuntimeError for a tensor that is too short.
    """
    kwargs = kwargs or {}
    own: list[Any] = [None] * len(args) if args_chunk_spec is None else list(args_chunk_spec)
    if len(own) != len(args):
        raise ValueError(f"args_chunk_spec has {len(own)} entries for {len(args)} arguments")
    named = kwargs_chunk_spec or {}
    columns = [_pieces(value, chunks, spec) for value, spec in zip(args, own, strict=True)]
    by_name = {name: _pieces(value, chunks, named.get(name)) for name, value in kwargs.items()}
    return (
        [tuple(column[i] for column in columns) for i in range(chunks)],
        [{name: pieces[i] for name, pieces in by_name.items()} for i in range(chunks)],
    )


def merge_chunks(chunks: list[Any], chunk_spec: Any) -> Any:
    """One value of the micro-batches' values: tensors are put together along the dimension that their spec names (the first, where
    none is given), what is no tensor is the first one's.
    """
    flat, kept = tree_flatten(chunks[0])
    rows = [tree_flatten(chunk)[0] for chunk in chunks]
    specs = _specs_of(chunk_spec, chunks[0], len(flat))
    merged = [_merged([row[i] for row in rows], spec) for i, spec in enumerate(specs)]
    return tree_unflatten(merged, kept)


def _merged(column: list[Any], spec: Any) -> Any:
    if not isinstance(column[0], Tensor) or isinstance(spec, _Replicate):
        return column[0]
    return cat(column, 0 if spec is None else spec.split_dim)


def _specs_of(spec: Any, value: Any, leaves: int) -> list[Any]:
    if spec is None:
        return [None] * leaves
    found: list[Any] = tree_flatten(spec)[0]
    if len(found) == 1:
        return found * leaves
    if len(found) != leaves:
        raise ValueError(f"Chunks {type(value)} and chunk spec {spec} do not match")
    return found


def _pieces(value: Any, n: int, spec: Any = None) -> list[Any]:
    """The value for each of n micro-batches."""
    flat, kept = tree_flatten(value)
    columns = [_cut(leaf, n, one) for leaf, one in zip(flat, _specs_of(spec, value, len(flat)), strict=True)]
    return [tree_unflatten([column[i] for column in columns], kept) for i in range(n)]


def _cut(value: Any, n: int, spec: Any) -> list[Any]:
    if not isinstance(value, Tensor) or isinstance(spec, _Replicate):
        return [value] * n
    dim = 0 if spec is None else spec.split_dim
    if not value.ndim or value.shape[dim] < n:
        raise RuntimeError(
            f"a batch of shape {list(value.shape)} can't be cut into {n} micro-batches along its dimension {dim}"
        )
    return list(tensor_split(value, n, dim))
