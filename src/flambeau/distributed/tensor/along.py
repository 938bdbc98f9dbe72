"""How results lie of operators that run along a dimension: as PyTorch's, which computes these with the dimension whole.

XLA computes them, and may cut the result along that dimension again. Here the result is laid as PyTorch's is, which a script can see
(`placements`, `to_local()`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from ...core.array import devices
from ...core.tensor.storage import Storage
from ...core.tensor.tensor import Tensor
from .placement_types import Partial, Placement, Replicate, Shard

Options = dict[str, Any]
Lengths = tuple[int, ...]


def _dim(options: Options, ndim: int) -> set[int]:
    dim = options.get("dim")
    return {dim % ndim} if isinstance(dim, int) and ndim else set(range(ndim))


def _dims(options: Options, ndim: int) -> set[int]:
    dims = options.get("dims")
    dims = (dims,) if isinstance(dims, int) else dims
    return {d % ndim for d in dims} if dims and ndim else set(range(ndim))


def _reduced(options: Options, ndim: int) -> set[int]:
    dims = options.get("dim")
    dims = (dims,) if isinstance(dims, int) else dims
    return {d % ndim for d in dims} if dims and ndim else set(range(ndim))


def _normalized(options: Options, ndim: int) -> set[int]:
    return set(range(ndim - len(options["normalized_shape"]), ndim))


def _padded(options: Options, ndim: int) -> set[int]:
    pad = options["pad"]
    return {ndim - 1 - i // 2 for i, n in enumerate(pad) if n}


def _matrix(options: Options, ndim: int) -> set[int]:
    return {ndim - 2, ndim - 1}


def _transformed(options: Options, ndim: int) -> set[int]:
    """Those that a Fourier transform runs over. XLA's refuses values that it has cut itself there."""
    dims, sizes = options.get("dim"), options.get("s")
    if dims is None:
        return set(range(ndim if sizes is None else ndim - len(sizes), ndim))
    return {d % ndim for d in ((dims,) if isinstance(dims, int) else dims)}


_FOURIER = [kind + ending for kind in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft") for ending in ("", "2", "n")]
_BATCHED = frozenset(
    "sort argsort topk cummax cummin gather scatter scatter_add".split()
)  # sums are cut for these, not repeated
_REDUCED = frozenset(
    "hash_tensor kthvalue median nanmedian mode max min aminmax argmax argmin var std var_mean std_mean logsumexp".split()
)
# XLA knows best of these with equal parts, and has no program for the first along a dimension that is cut
OF_UNEQUAL = (_REDUCED - {"hash_tensor"}) | {"cross", "index_select"}
_ALONG: dict[str, Callable[[Options, int], set[int]]] = {
    **dict.fromkeys(_BATCHED, _dim),
    **dict.fromkeys(
        "softmax log_softmax cumsum cumprod logcumsumexp glu index_add index_copy index_fill".split(), _dim
    ),
    "flip": lambda options, ndim: {d % ndim for d in options["dims"]},
    "fliplr": lambda options, ndim: {1},
    "flipud": lambda options, ndim: {0},
    "roll": _dims,
    **dict.fromkeys(_REDUCED, _reduced),
    **dict.fromkeys(("cross", "index_select"), _dim),
    **dict.fromkeys(_FOURIER, _transformed),
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalized),
    **dict.fromkeys(("tril", "triu"), _matrix),
    "constant_pad": _padded,
}
JOINED = {"cat": None, "hstack": 1, "vstack": 0, "stack": None}


def ruled(name: str) -> bool:
    """Whether there is something to say of the operator."""
    return name in _ALONG or name in JOINED


def dims(name: str, options: Options, ndim: int) -> set[int]:
    """Along which dimensions an operator on a tensor of so many runs."""
    return _ALONG[name](options, ndim)


def placements(name: str, options: Options, operands: Sequence[Any]) -> tuple[Placement, ...]:
    """How the result of operands that lie so lies."""
    if name in JOINED:
        return _joined(name, options, operands)
    first = operands[0]
    ndim = len(first.shape)
    along = dims(name, options, ndim)
    made = []
    for side, placement in enumerate(first.placements):
        if isinstance(placement, Partial):
            fits = [d for d in range(ndim) if d not in along and first.shape[d] % first.mesh.size(side) == 0]
            placement = Shard(fits[0]) if name in _BATCHED and fits else Replicate()
        if isinstance(placement, Shard) and placement.dim in along:
            placement = Replicate()
        elif isinstance(placement, Shard) and name in _REDUCED and not options.get("keepdim"):
            placement = Shard(placement.dim - sum(d < placement.dim for d in along))
        made.append(placement)
    return tuple(made)


def _joined(name: str, options: Options, operands: Sequence[Any]) -> tuple[Placement, ...]:
    ndim = len(operands[0].shape)
    dim = JOINED[name]
    if dim is None:
        dim = options.get("dim", 0) % (ndim + (name == "stack"))
    dim = min(dim, ndim - 1) if name == "hstack" else dim
    made: list[Placement] = []
    for side in range(operands[0].mesh.ndim):
        cuts = {o.placements[side].dim for o in operands if isinstance(o.placements[side], Shard)}
        if name == "stack":
            (cut,) = cuts if len(cuts) == 1 else (None,)
            made.append(Replicate() if cut is None else Shard(cut + (cut >= dim)))
        else:
            cuts.discard(dim)
            made.append(Shard(min(cuts)) if cuts else Replicate())
    return tuple(made)


def lay(result: Any, place: Callable[[Lengths], Any]) -> None:
    """Have the results of an operator, fresh tensors, lie as `place` says for their shapes."""
    for tensor in result if isinstance(result, (tuple, list)) else (result,):
        if isinstance(tensor, Tensor) and type(tensor._storage) is Storage and tensor._view is None:
            value, wanted = tensor._storage.value, place(tuple(tensor.shape))
            if wanted is not None and isinstance(value, jax.Array) and value.sharding != wanted:
                tensor._storage.value = devices.spread(value, wanted)


def seen(tensor: Tensor) -> Any:
    """The values of a look at a part of a tensor that lies in several processes: cut along those dimensions alone that it has whole."""
    value, view = tensor._array, tensor._view
    base = tensor._storage.value
    if (
        view is None
        or not isinstance(base, jax.Array)
        or not isinstance(value, jax.Array)
        or not devices.is_far(base.sharding)
    ):
        return value
    if math.prod(view.shape) >= base.size or not isinstance(base.sharding, jax.sharding.NamedSharding):
        return value  # all of it, in another shape
    spec = (*base.sharding.spec, *[None] * (base.ndim - len(base.sharding.spec)))
    strides = [math.prod(base.shape[d + 1 :]) for d in range(base.ndim)]
    whole = {(n, stride): sides for n, stride, sides in zip(base.shape, strides, spec, strict=True)}
    entries = [whole.get(pair) for pair in zip(view.shape, view.strides, strict=True)]
    wanted = jax.sharding.NamedSharding(base.sharding.mesh, jax.sharding.PartitionSpec(*entries))
    if value.sharding != wanted and not value.sharding.is_equivalent_to(wanted, value.ndim):
        value = devices.spread(value, wanted)
        if tensor._cache_version == tensor._storage.version:
            tensor._cache = value
    return value
