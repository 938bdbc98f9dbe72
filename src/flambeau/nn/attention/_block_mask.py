"""Masks of attention in blocks: which blocks of scores are of any use, and a function that says it place by place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from ...core.array import dtypes
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor
from ...ops.making.creation import zeros
from ...ops.making.ranges import arange

BLOCK = 128
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Everybody may look everywhere."""
    return batch.new_ones((), dtype=dtypes.bool)


def _sliced_mask_mod_error(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask (set the mask_mod of the slice to one that knows its place)"
    )


def pair(size: int | tuple[int, int] | list[int]) -> tuple[int, int]:
    """A size of blocks for queries and keys, from one for both or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


# --- rows of blocks, as a table of 0 and 1 and as lists of columns -------------------------------------------------


def ordered(table: Tensor) -> tuple[Tensor, Tensor]:
    """How many ones a row has, and its columns, those with ones first."""
    count = table.sum(-1).to(dtypes.int32)
    return count, table.to(dtypes.int32).argsort(-1, descending=True, stable=True).to(dtypes.int32)


def table_of(count: Tensor, columns: Tensor) -> Tensor:
    """The table of 0 and 1 that `ordered` was made of."""
    wide = columns.shape[-1]
    held = arange(wide, device=columns.device) < count.unsqueeze(-1)
    places = columns.to(dtypes.int64).masked_fill(~held, wide)
    rows = zeros((*columns.shape[:-1], wide + 1), dtype=dtypes.int32, device=columns.device)
    return rows.scatter(-1, places, 1)[..., :wide]


def _turned(count: Tensor | None, columns: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    if count is None or columns is None:
        return None, None
    return ordered(table_of(count, columns).transpose(-2, -1))


def _cropped(count: Tensor, columns: Tensor, rows: int, wide: int) -> tuple[Tensor, Tensor]:
    table = table_of(count, columns)[..., :rows, :wide]
    missing = (rows - table.shape[-2], wide - table.shape[-1])
    if any(missing):
        whole = zeros((*table.shape[:-2], rows, wide), dtype=table.dtype, device=table.device)
        whole[..., : table.shape[-2], : table.shape[-1]] = table
        table = whole
    return ordered(table)


class BlockMask:
    """A mask of attention: for each row of blocks the columns that are of use, and `mask_mod` for the places within.

    `kv_num_blocks` `(B, H, rows)` and `kv_indices` `(B, H, rows, columns)` name the blocks in which `mask_mod` is asked,
    `full_kv_num_blocks` and `full_kv_indices` those in which everybody may look. `q_...` are the same by columns.
    """

    __module__ = "flambeau.nn.attention.flex_attention"  # where it is public
    seq_lengths: tuple[int, int]
    kv_num_blocks: Tensor
    kv_indices: Tensor
    full_kv_num_blocks: Tensor | None
    full_kv_indices: Tensor | None
    q_num_blocks: Tensor | None
    q_indices: Tensor | None
    full_q_num_blocks: Tensor | None
    full_q_indices: Tensor | None
    BLOCK_SIZE: tuple[int, int]
    mask_mod: MaskMod

    _TABLES = (
        "kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices",
        "q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices",
    )  # fmt: skip

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        q_num_blocks: Tensor | None,
        q_indices: Tensor | None,
        full_q_num_blocks: Tensor | None,
        full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int] = (BLOCK, BLOCK),
        mask_mod: MaskMod = noop_mask,
    ) -> None:
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        given = (
            kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices,
            q_num_blocks, q_indices, full_q_num_blocks, full_q_indices,
        )  # fmt: skip
        for name in ("full_kv", "full_q", "q"):
            first, second = (given[self._TABLES.index(f"{name}{end}")] for end in ("_num_blocks", "_indices"))
            if (first is None) != (second is None):
                raise AssertionError(f"{name}_num_blocks and {name}_indices must be both provided or omitted")
        for name, table in zip(self._TABLES, given, strict=True):
            setattr(self, name, table)
        self.seq_lengths = seq_lengths
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = BLOCK,
        mask_mod: MaskMod | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A mask from the blocks of each row. The lengths are those of whole blocks, unless they are given."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        size = pair(BLOCK_SIZE)
        q: Any = (None,) * 4
        if compute_q_blocks:
            q = (*_turned(kv_num_blocks, kv_indices), *_turned(full_kv_num_blocks, full_kv_indices))
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        mod = noop_mask if mask_mod is None else mask_mod
        kv = (kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices)
        made: Any = [seq_lengths, *kv, *q, size, mod]
        return cls(*made)

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """The lengths, the tables, the size of the blocks and `mask_mod`."""
        tables = tuple(getattr(self, name) for name in self._TABLES)
        if flatten:
            return (*self.seq_lengths, *tables, *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *tables, self.BLOCK_SIZE, self.mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, queries, keys)"""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of places, those that are not seen, too."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """The percentage of places that lie in no block."""
        blocks = self.kv_num_blocks.sum()
        if self.full_kv_num_blocks is not None:
            blocks = blocks + self.full_kv_num_blocks.sum()
        total = self.numel()
        return 100 * (1 - int(blocks.item()) * math.prod(self.BLOCK_SIZE) / total) if total else 0.0

    def to_dense(self) -> Tensor:
        """The blocks as a table of 0 and 1, `(B, H, rows, columns)`."""
        table = table_of(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            table = table + table_of(self.full_kv_num_blocks, self.full_kv_indices)
        return table

    def to(self, device: Any) -> BlockMask:
        """The same mask on another device."""
        tables = (getattr(self, name) for name in self._TABLES)
        moved = (None if table is None else table.to(device) for table in tables)
        made: Any = [self.seq_lengths, *moved, self.BLOCK_SIZE, self.mask_mod]
        return BlockMask(*made)

    def __getitem__(self, index: Any) -> BlockMask:
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(slice(i, i + 1 or None) if isinstance(i, int) else i for i in index)[:3]
        kv = (self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices)
        parts = (None if table is None else table[index] for table in kv)
        made: Any = [*parts, self.BLOCK_SIZE, _sliced_mask_mod_error, self.seq_lengths, self.q_indices is not None]
        return BlockMask.from_kv_blocks(*made)

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        rows, wide = (-(-n // size) for n, size in zip((new_q_len, new_kv_len), self.BLOCK_SIZE, strict=True))
        full: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            full = _cropped(self.full_kv_num_blocks, self.full_kv_indices, rows, wide)
        return BlockMask.from_kv_blocks(
            *_cropped(self.kv_num_blocks, self.kv_indices, rows, wide),
            *full,
            self.BLOCK_SIZE,
            self.mask_mod,
            (new_q_len, new_kv_len),
            self.q_indices is not None,
        )

    # --- printing ----------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        drawn = self.to_string().strip()
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{drawn}\n)"

    def __repr__(self) -> str:
        lines = [f"{name}={None if (t := getattr(self, name)) is None else t.shape}" for name in self._TABLES]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%"]
        lines.append(f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}")
        inside = ",\n".join(f"    {line}" for line in lines)
        return f"BlockMask(\n{inside}\n)"

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """A drawing of at most `limit` heads of at most `grid_size` signs (-1: as many as there are blocks)."""
        table = self.to_dense()
        drawn = []
        grid = pair(grid_size)
        for number, place in enumerate(itertools.product(*(range(n) for n in table.shape[:-2]))):
            if number == limit:
                drawn.append(message("block_mask_is_longer"))
                break
            drawn.append(f"{place}\n{_drawing(table[place].tolist(), grid)}")
        return "\n".join(drawn)


def _drawing(table: list[list[int]], grid: tuple[int, int]) -> str:
    if not table:
        return ""
    steps = [
        1 if most < 0 else max(-(-n // most), 1) for n, most in zip((len(table), len(table[0])), grid, strict=True)
    ]
    text = ""
    for top in range(0, len(table), steps[0]):
        for left in range(0, len(table[0]), steps[1]):
            part = [v for row in table[top : top + steps[0]] for v in row[left : left + steps[1]]]
            text += ("██" if all(part) else "░░") if any(part) else "  "
        text += "\n"
    return text
