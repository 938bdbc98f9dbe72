"""Lookup of rows: `embedding`, `embedding_bag` and `one_hot`."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.array import dtypes, programs
from ...core.array.meta import with_shapes
from ...core.array.size import dimension
from ...core.context.grad_mode import no_grad, state
from ...core.context.telling import warn
from ...core.dispatch.at_once import slices
from ...core.dispatch.messages import message
from ...core.dispatch.operator import Array, composite, operator
from ...core.dispatch.signature import not_a_tensor
from ...core.tape.nodes import AccumulateGrad, Node, taped_call
from ...core.tape.programs import Program
from ...core.tensor.sparse import SparseArray, check_not_traced
from ...core.tensor.tensor import Tensor, from_host
from ...native.moving import rows_at
from ..shape.joining import cat
from ..support.checks import all_inside, demand, host_values, on_host, refuse_outside, type_name, wide
from .normalization import vector_norm


def _rows(weight: jax.Array, indices: jax.Array, padding_idx: int | None, scale_grad_by_freq: bool) -> jax.Array:
    """weight[indices]; the padding row gets no gradient, and rows share theirs if it is scaled by frequency."""
    rows = rows_at(weight, indices)
    if scale_grad_by_freq and indices.size:
        counts = jnp.zeros(weight.shape[0], weight.dtype).at[indices.ravel()].add(1)
        share = rows / jnp.take(counts, indices, mode="clip")[..., None]
        rows = lax.stop_gradient(rows) + (share - lax.stop_gradient(share))
    if padding_idx is not None:
        rows = jnp.where((indices == padding_idx)[..., None], lax.stop_gradient(rows), rows)
    return rows


@operator(methods=False, public=(), grad="EmbeddingBackward0", narrow=True)
def _embedding(weight: Array, input: Array, padding_idx: int | None, scale_grad_by_freq: bool) -> Array:
    return _rows(weight, input, padding_idx, scale_grad_by_freq)


@jax.jit
def _picked(gradient: jax.Array, kept: jax.Array) -> jax.Array:
    return gradient.reshape(-1, gradient.shape[-1])[kept]


_PICKED = Program(_picked, "index_select")


class SparseRows(Node):
    """A lookup whose gradient is sparse: the rows that were named, each as often as it was."""

    __slots__ = ("rows", "kept", "shape")

    def __init__(self, name: str, edge: Any, indices: Any, shape: tuple[int, ...], padding_idx: int | None) -> None:
        super().__init__(name, (edge,))
        flat = np.asarray(indices).reshape(-1)
        self.kept: Any = np.arange(flat.size) if padding_idx is None else np.flatnonzero(flat != padding_idx)
        self.rows: np.ndarray = flat[self.kept].astype(np.int64)[None]
        self.shape: tuple[int, ...] = shape

    def backward(self, cotangents: list[Any]) -> list[Any]:
        return [SparseArray(jnp.asarray(self.rows), _picked(cotangents[0], self.kept), self.shape)]

    def backward_taped(self, cotangents: list[Any]) -> list[Any]:
        array, edge = cotangents[0]
        values, edge = taped_call(_PICKED, (array, jnp.asarray(self.kept)), {0: edge})[0]
        return [(SparseArray(jnp.asarray(self.rows), values, self.shape), edge)]


def _looked_up(
    weight: Tensor, indices: Tensor, padding_idx: int | None, by_freq: bool, sparse: bool, name: str
) -> Tensor:
    """The rows, on the tape by a dense or, with `sparse`, a sparse gradient of the table."""
    edge = weight._tape_edge() if sparse and state.grad else None
    if edge is None or type(edge[0]) is not AccumulateGrad or state.scope is not None:
        return _embedding(weight, indices, padding_idx, by_freq)
    check_not_traced()
    if by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    with no_grad():
        made = _embedding(weight, indices, padding_idx, False)
    made._edge = (SparseRows(name, edge, indices._array, tuple(weight.shape), padding_idx), 0)
    return made


@with_shapes
@functools.partial(programs.jit, static_argnums=3, inline=True)
def _shortened(weight: jax.Array, indices: jax.Array, max_norm: float, norm_type: float) -> jax.Array:
    """The table with the rows that `indices` name cut to length `max_norm`."""
    norms = vector_norm(weight, norm_type, (1,), True)
    used = jnp.zeros((weight.shape[0], 1), bool).at[indices.ravel()].set(True)
    return jnp.where(used & (norms > max_norm), weight * (max_norm / (norms + 1e-7)), weight).astype(weight.dtype)


_INDICES = (np.dtype(np.int64), np.dtype(np.int32))


def _check_indices(
    indices: Any, weight: Any, name: str, error: type[Exception] = IndexError, mode: str = "", shortens: bool = False
) -> None:
    if not isinstance(indices, Tensor):
        raise not_a_tensor(name, "indices", 2, indices)
    array = indices._array
    if array.dtype not in _INDICES:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got torch.{type_name(array)}Tensor instead (while checking arguments for {name})"
        )
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, but got {list(weight.shape)}")
    if shortens:
        _check_rows(indices, weight)
    elif all_inside(indices, weight._geometry.shape[0]):
        return
    text: Any = f"index out of range in self: got {{}}, but the table has {weight.shape[0]} rows"
    if name == "embedding_bag" and (weight.dtype is dtypes.float64 or mode == "max"):
        text = "embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be {}"
    elif name == "embedding_bag":
        text = functools.partial(_index_of_bag, indices, weight.shape[0])
    refuse_outside(indices, weight.shape[0], text, error)


def _index_of_bag(indices: Tensor, rows: int) -> str:
    """PyTorch's words, with the place where it can be told: in a program only the value is at hand."""
    values = on_host(indices)
    place = "" if values is None else f" {np.flatnonzero((values < 0) | (values >= rows))[0]}"
    return f"Index{place} of input takes value {{}} which is not in the valid range [0, {rows})"


def _padding_row(padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"Padding_idx must be within num_embeddings, but got {padding_idx} of {rows}")
    return padding_idx % rows


def _check_rows(indices: Any, weight: Any) -> None:
    text = f"select(): index {{}} out of range for tensor of size {list(weight.shape)} at dimension 0"
    refuse_outside(indices, weight.shape[0], text, IndexError, negative=True)


def _limit_norms(weight: Any, indices: Any, max_norm: float, norm_type: float) -> None:
    _check_rows(indices, weight)
    with no_grad():
        weight._write(_shortened(weight._array, indices._array, float(max_norm), float(norm_type)))


@composite(methods=False, public=("nn.functional",))
def embedding(
    input: Tensor | Any, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """The rows of `weight` that the integer tensor `input` names.

    `padding_idx` names a row that gets no gradient; `max_norm` first shortens (in place) the rows that are used;
    `scale_grad_by_freq` divides a row's gradient by how often it is used. With `sparse`, the gradient of a table that is
    a leaf is a sparse tensor. Raises IndexError for a row that is not there, RuntimeError for both of these together.
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, got shape {list(weight.shape)}")
    padding_idx = _padding_row(padding_idx, weight.shape[0])
    if max_norm is None and (made := slices(weight, 0, input)) is not None:
        return made
    _check_indices(input, weight, "embedding", shortens=max_norm is not None)
    if max_norm is not None:
        _limit_norms(weight, input, max_norm, norm_type)
    return _looked_up(weight, input, padding_idx, scale_grad_by_freq, sparse, "EmbeddingBackward0")


@operator(methods=False, public=(), grad="EmbeddingBagBackward0")
def _embedding_bag(
    weight: Array, input: Array, offsets: Array | None, weights: Array | None, mode: str, padding_idx: int | None,
    include_last_offset: bool, scale_grad_by_freq: bool,
) -> Array:  # fmt: skip
    if offsets is None:
        bags = input.shape[0]
        bag = jnp.repeat(jnp.arange(bags), input.shape[1], total_repeat_length=input.size)
        input = input.ravel()
        weights = None if weights is None else weights.ravel()
    else:
        bags = offsets.shape[0] - include_last_offset
        bag = jnp.searchsorted(offsets[:bags], jnp.arange(input.shape[0]), side="right") - 1
    rows = _rows(weight, input, padding_idx, scale_grad_by_freq)
    counted = jnp.ones(input.shape, bool) if padding_idx is None else input != padding_idx
    if offsets is not None and include_last_offset:
        counted &= jnp.arange(input.shape[0]) < offsets[-1]
    if mode == "max":
        rows = jnp.where(counted[:, None], rows, -jnp.inf)
        top = jax.ops.segment_max(lax.stop_gradient(rows), bag, bags)
        # the gradient goes to the first row that holds the maximum
        hit = (rows == top[bag]) & counted[:, None]
        place = jnp.where(hit, jnp.arange(rows.shape[0])[:, None], rows.shape[0])
        first = jax.ops.segment_min(place, bag, bags)
        found = (first >= 0) & (first < rows.shape[0])
        chosen = jnp.take_along_axis(rows, jnp.where(found, first, 0), 0) if rows.shape[0] else top
        return jnp.where(found, chosen, 0).astype(weight.dtype)
    rows = wide(rows)
    if weights is not None:
        rows = rows * wide(weights)[:, None]
    total = jax.ops.segment_sum(jnp.where(counted[:, None], rows, 0), bag, bags)
    if mode == "mean":
        counts = jax.ops.segment_sum(counted.astype(rows.dtype), bag, bags)
        total = total / jnp.maximum(counts, 1)[:, None]
    return total.astype(weight.dtype)


def _check_bags(input: Any, weight: Any, offsets: Any, include_last_offset: bool, mode: str, shortens: bool) -> None:
    """Raises RuntimeError for rows that are not there, and for offsets that do not cut the input into bags."""
    _check_indices(input, weight, "embedding_bag", RuntimeError, mode, shortens)
    if offsets is None:
        return
    if type_name(offsets._array) not in ("Long", "Int"):
        raise RuntimeError(
            "Expected tensor for argument #1 'offsets' to have one of the following scalar types: Long, Int; "
            f"but got torch.{type_name(offsets._array)}Tensor instead (while checking arguments for embedding_bag)"
        )
    if include_last_offset and not offsets.shape[0]:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    size, kind = input.shape[0], f"[ torch.{type_name(offsets._array)}Tensor{{}} ]"
    first = (
        "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got "
    )
    last = f"offsets[-1] can not be greater than input's length {size} but got offsets[-1] of "
    demand(lambda x: (x[:1] != 0, x[:1]), lambda value: RuntimeError(f"{first}{value}\n{kind}"), offsets)
    demand(lambda x: (x[-1:] > size, x[-1:]), lambda value: RuntimeError(f"{last}{value}"), offsets)
    falls = "offsets must not decrease, but one is followed by "
    demand(lambda x: (x[1:] < x[:-1], x[1:]), lambda value: RuntimeError(f"{falls}{value}"), offsets)


def _check_mode(mode: str, scale_grad_by_freq: bool, sparse: bool) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError(message("bag_of_max_scaled"))
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")


def _check_bag_shapes(input: Any, weight: Any, offsets: Any, per_sample_weights: Any, mode: str) -> None:
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None for a 1D input")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
                f"mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
            )
        wanted = input.shape
        if per_sample_weights.shape != wanted:
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, "
                f"then it must have the same shape as the input ({wanted})"
            )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")


@composite(methods=False, public=("nn.functional",))
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums, means or maxima of bags of rows, without the rows in between.

    The bags are the rows of a 2-D `input`, or the pieces of a 1-D one that begin at `offsets`.
    """
    if weight.dtype in (dtypes.int64, dtypes.int32) and input.dtype.is_floating_point:
        warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is deprecated, "
            "and should now be `embedding_bag(input, weight, ...)`."
        )
        weight, input = input, weight
    _check_mode(mode, scale_grad_by_freq, sparse)
    _check_bag_shapes(input, weight, offsets, per_sample_weights, mode)
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{rows} through {rows - 1}, but got {padding_idx}"
            )
        padding_idx %= rows
    if per_sample_weights is not None and per_sample_weights.dtype is not weight.dtype:
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 'per_sample_weights'; "
            f"but type {weight.dtype} does not equal {per_sample_weights.dtype} (while checking arguments for embedding_bag)"
        )
    if (kind := type_name(weight._array)) not in ("Half", "BFloat16", "Float", "Double"):
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, Float, Double; "
            f"but got {f'CPU{kind}Type' if kind == 'Bool' or 'Complex' in kind else f'torch.{kind}Tensor'} instead (while checking "
            "arguments for embedding_bag)"
        )
    _check_bags(input, weight, offsets, include_last_offset, mode, max_norm is not None)
    if max_norm is not None:
        _limit_norms(weight, input, max_norm, norm_type)
    if sparse and weight.requires_grad and state.grad:
        weight, input, padding_idx = _rows_in_order(weight, input, padding_idx, scale_grad_by_freq)
    return _embedding_bag(
        weight, input, offsets, per_sample_weights, mode, padding_idx, include_last_offset, scale_grad_by_freq
    )


def _rows_in_order(weight: Tensor, input: Tensor, padding_idx: int | None, by_freq: bool) -> Any:
    """The table of just the rows that the bags hold, in their order, by a lookup whose gradient is sparse."""
    rows = _looked_up(weight, input.reshape(-1), padding_idx, by_freq, True, "EmbeddingBagBackward0")
    places = np.arange(rows.shape[0]).reshape(tuple(input.shape))
    if padding_idx is None:
        return rows, from_host(places, input.device), None
    padded = np.asarray(input._array) == padding_idx
    table = cat([rows, rows.new_zeros((1, rows.shape[1]))])
    return table, from_host(np.where(padded, rows.shape[0], places), input.device), rows.shape[0]


@operator(methods=False, public=())
def _one_hot(input: Array, num_classes: int) -> Array:
    return (input[..., None] == jnp.arange(num_classes, dtype=input.dtype)).astype(jnp.int64)


@composite(methods=False, public=("nn.functional",), in_python=False)
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A new last dimension with a 1 at the place that the integer names; `-1` counts the classes from the data."""
    if type(num_classes) is not int:
        try:
            num_classes = dimension(num_classes)
        except TypeError:
            kind = type(num_classes).__name__
            raise TypeError(f"one_hot(): argument 'num_classes' (position 2) must be int, not {kind}") from None
    if tensor._np_dtype != np.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor. (Got {tensor.dtype}.)")
    if tensor.numel() == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes > 0 and all_inside(tensor, num_classes):
        return _one_hot(tensor, num_classes)
    demand(
        lambda x: (x < 0, x), lambda value: RuntimeError(f"Class values must be non-negative. (Got {value}.)"), tensor
    )
    if num_classes == -1:
        num_classes = int(host_values(tensor, "one_hot", "the number of classes depends").max()) + 1
    refuse_outside(tensor, num_classes, "Class values must be smaller than num_classes. (Got {}.)", RuntimeError)
    return _one_hot(tensor, num_classes)


# --- as `torch` itself has them: arguments in another order, a reduction as a number -----------------------------------


@composite(methods=False, name="embedding")
def _torch_embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """`nn.functional.embedding`; -1 stands for no padding index."""
    row = None if padding_idx < 0 else padding_idx
    return embedding(indices, weight, row, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
