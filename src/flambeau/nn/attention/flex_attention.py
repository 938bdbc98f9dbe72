"""Attention whose scores and mask are given by functions of single places (Dong et al., 2024)."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from ...core.array import dtypes
from ...core.context import doors
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import zeros
from ...ops.making.ranges import arange
from ._block_mask import BLOCK, BlockMask, MaskMod, noop_mask, ordered, pair, table_of
from ._dense import attend

_DEFAULT_SPARSE_BLOCK_SIZE = BLOCK

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]  # fmt: skip

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class AuxRequest(NamedTuple):
    """What `flex_attention` is to give besides its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What it gives: the logarithms of the sums, and the largest scores, of each query."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


class FlexKernelOptions(TypedDict, total=False):
    """Options of PyTorch's Triton kernels. They are accepted."""

    num_warps: int
    num_stages: int
    BLOCK_M: int
    BLOCK_N: int
    BLOCK_M1: int
    BLOCK_N1: int
    BLOCK_M2: int
    BLOCK_N2: int
    PRESCALE_QK: bool
    ROWS_GUARANTEED_SAFE: bool
    BLOCKS_ARE_CONTIGUOUS: bool
    WRITE_DQ: bool
    FORCE_USE_FLEX_ATTENTION: bool
    USE_TMA: bool
    kpack: int
    matrix_instr_nonkdim: int
    waves_per_eu: int
    BACKEND: str


# --- masks ---------------------------------------------------------------------------------------------------------


def _checked(mask_mods: tuple[MaskMod, ...]) -> None:
    if not all(callable(mod) for mod in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")


def and_masks(*mask_mods: MaskMod) -> MaskMod:
    """To look where all of these say so. RuntimeError for what is no function."""
    _checked(mask_mods)

    def and_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_ones((), dtype=dtypes.bool)
        for mod in mask_mods:
            result = result & mod(b, h, q_idx, kv_idx)
        return result

    return and_mask


def or_masks(*mask_mods: MaskMod) -> MaskMod:
    """To look where any of these says so. RuntimeError for what is no function."""
    _checked(mask_mods)

    def or_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_zeros((), dtype=dtypes.bool)
        for mod in mask_mods:
            result = result | mod(b, h, q_idx, kv_idx)
        return result

    return or_mask


def _everywhere(
    mod: Callable[..., Tensor], shape: tuple[int, ...], device: Any, scores: Tensor | None = None
) -> Tensor:
    """A function of single places, at all of `(B, H, queries, keys)`."""
    places = [arange(n, device=device) for n in shape]
    first = () if scores is None else (scores,)
    along = () if scores is None else (0,)
    for dim in (3, 2, 1, 0):
        mod = doors.vmap(mod, in_dims=along + tuple(0 if i == dim else None for i in range(4)))
    return mod(*first, *places)


def _takes_scores(mod: Callable[..., Any]) -> bool:
    """Whether a function is of a score and its place; AssertionError if it is no function of a place either."""
    parameters = inspect.signature(mod).parameters.values()
    wanted = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and len(wanted) < 4:
        return False
    if len(wanted) not in (4, 5):
        raise AssertionError(f"Expected 4 or 5 positional args, got {len(wanted)}")
    return len(wanted) == 5


def create_mask(
    mod_fn: Callable[..., Tensor], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """A function of single places as a mask `(B, H, Q_LEN, KV_LEN)`; of one of scores, where it does not give -inf."""
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    if not _takes_scores(mod_fn):
        return _everywhere(mod_fn, shape, device)
    return ~_everywhere(mod_fn, shape, device, zeros(shape, device=device)).isneginf()


def create_block_mask(
    mask_mod: MaskMod,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = BLOCK,
    _compile: bool = False,
    separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False,
    dq_kv_order: bool = True,
) -> BlockMask:
    """The blocks in which `mask_mod(b, h, q_idx, kv_idx)` lets somebody look. None for B and H: it does not depend on them.

    AssertionError for a function of scores; NotImplementedError for `compute_dq_write_order`, which is for one kernel of
    CUDA's.
    """
    if compute_dq_write_order:
        raise NotImplementedError(
            "create_block_mask: compute_dq_write_order is for a CUDA kernel that there is none of here"
        )
    if _takes_scores(mask_mod):
        name = "create-block_mask"  # PyTorch's word
        raise AssertionError(f"{name} requires a mask_mod function! Got {mask_mod}")
    size = pair(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = (-(-n // each) for n, each in zip((Q_LEN, KV_LEN), size, strict=True))
    whole = zeros((*mask.shape[:2], rows * size[0], columns * size[1]), dtype=dtypes.bool, device=mask.device)
    whole[..., :Q_LEN, :KV_LEN] = mask
    seen = whole.view(*mask.shape[:2], rows, size[0], columns, size[1]).sum((3, 5))
    full = seen == size[0] * size[1]
    if not separate_full_blocks:
        return BlockMask.from_kv_blocks(*ordered(seen > 0), None, None, size, mask_mod, (Q_LEN, KV_LEN))
    partial = (seen > 0) & ~full
    return BlockMask.from_kv_blocks(*ordered(partial), *ordered(full), size, mask_mod, (Q_LEN, KV_LEN))


def _spread(table: Tensor, size: tuple[int, int], lengths: tuple[int, int]) -> Tensor:
    """A table of blocks as one of places."""
    for dim, (each, length) in enumerate(zip(size, lengths, strict=True), -2):
        table = table.repeat_interleave(each, dim).narrow(dim, 0, length)
    return table.bool()


def _seen(block_mask: BlockMask, shape: tuple[int, ...], device: Any) -> Tensor:
    """Where a mask lets look, for scores of this shape."""
    lengths = (shape[-2], shape[-1])
    size = block_mask.BLOCK_SIZE
    mask = _everywhere(block_mask.mask_mod, shape, device)
    partial = _spread(table_of(block_mask.kv_num_blocks, block_mask.kv_indices), size, lengths)
    if block_mask.full_kv_num_blocks is None or block_mask.full_kv_indices is None:
        return mask & partial
    full = _spread(table_of(block_mask.full_kv_num_blocks, block_mask.full_kv_indices), size, lengths)
    return (mask & partial) | full


# --- attention -------------------------------------------------------------------------------------------------------


def _check(query: Tensor, key: Tensor, value: Tensor, block_mask: Any, enable_gqa: bool) -> None:
    if any(x.dim() != 4 for x in (query, key, value)):
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.shape[0] != key.shape[0] and block_mask is None:
        raise ValueError(
            f"Expect query and key/value to have the same batch size, or non-none block_mask, but got "
            f"block_mask=None, Bq={query.shape[0]}, and Bkv={key.shape[0]}."
        )
    heads, others = query.shape[1], key.shape[1]
    if heads != others and not enable_gqa:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={others}. "
            "Try setting enable_gqa=True for GQA."
        )
    if heads % max(others, 1):
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={others}."
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"Expect query and key/value to have the same embedding dimension but got E={query.shape[-1]} and "
            f"E={key.shape[-1]}."
        )
    if block_mask is not None:
        _check_lengths(block_mask, query.shape[2], key.shape[2])


def _check_lengths(block_mask: BlockMask, queries: int, keys: int) -> None:
    made_q, made_k = block_mask.shape[-2:]
    size = block_mask.BLOCK_SIZE
    if (made_q, made_k) == (queries, keys) or (-made_q % size[0] == 0 and (queries, keys) == (made_q, made_k)):
        return
    begin = f"block_mask was created for {block_mask.shape=} but got q_len={queries} and kv_len={keys}. "
    if queries > made_q or keys > made_k:
        raise ValueError(
            f"{begin}As the block mask was created for a smaller length than you're using it for, you likely need to "
            "create a new block mask."
        )
    raise ValueError(
        f"{begin}As the block mask was created for a larger length than you're using it for, you can either 1. create "
        f"a new block mask with the correct length, or 2. 'adjust' the existing block mask to the correct length by "
        f"calling block_mask._adjust(q_len, kv_len). This essentially 'crops' the block mask to the upper left corner, "
        "which does not work for all mask_mods!"
    )


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: ScoreMod | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: FlexKernelOptions | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Attention with scores changed by `score_mod(score, b, h, q_idx, kv_idx)`, where `block_mask` lets look.

    Shapes: query `(B, Hq, L, E)`, key `(B, Hkv, S, E)`, value `(B, Hkv, S, Ev)`; the result is `(B, Hq, L, Ev)`. Both
    functions may read tensors from outside, and gradients go into these. `scale` is `1 / sqrt(E)` by default. With
    `return_aux` the second result is an `AuxOutput` of arrays `(B, Hq, L)`, with `return_lse` (the old way) just the
    logarithms of the sums. A query that may look nowhere gives zeros. ValueError for shapes that do not go together.
    """
    if return_lse and return_aux is not None:
        raise ValueError(
            "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use "
            "return_aux=AuxRequest(lse=True) instead."
        )
    _check(query, key, value, block_mask, enable_gqa)
    batch, heads, length, width = query.shape
    if heads != key.shape[1]:
        key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    shape = (max(batch, key.shape[0]), heads, length, key.shape[2])

    def changed(scores: Tensor) -> Tensor:
        if score_mod is not None:
            scores = _everywhere(score_mod, shape, query.device, scores)
        if block_mask is not None:
            scores = scores.masked_fill(~_seen(block_mask, shape, query.device), -math.inf)
        return scores

    scale = (1 / math.sqrt(width) if width else 1.0) if scale is None else scale
    out, lse, most = attend(query, key, value, scale, changed)
    if return_lse:
        warnings.warn(
            message("return_lse_deprecated"),
            FutureWarning,
            stacklevel=2,
        )
        return out, lse
    if return_aux is None:
        return out
    return out, AuxOutput(lse if return_aux.lse else None, most if return_aux.max_scores else None)


_DEFAULT_SPARSE_BLOCK_SIZE = BLOCK
