"""The layouts with compressed rows or columns: what their parts are called, and which dimensions these have.

Of a batch of matrices with values of several dimensions the compressed indices are (*batch, rows + 1), the plain ones
(*batch, nnz), the values (*batch, nnz, *block, *dense); the tensor is (*batch, rows, columns, *dense).
"""

from __future__ import annotations

from typing import NamedTuple

from ...core.tensor.sparse import layout_of, stored
from ...core.tensor.tensor import Tensor


class Kind(NamedTuple):
    """A layout: whether it is rows that are compressed, whether values are blocks."""

    rows: bool
    blocks: bool

    @property
    def names(self) -> tuple[str, str]:
        """What the index vectors are called."""
        return ("crow_indices", "col_indices") if self.rows else ("ccol_indices", "row_indices")


KINDS = {
    "sparse_csr": Kind(True, False),
    "sparse_csc": Kind(False, False),
    "sparse_bsr": Kind(True, True),
    "sparse_bsc": Kind(False, True),
}
PRINTED = {
    "strided": "Strided", "sparse_coo": "Sparse", "sparse_csr": "SparseCsr", "sparse_csc": "SparseCsc",
    "sparse_bsr": "SparseBsr", "sparse_bsc": "SparseBsc",
}  # fmt: skip


def batch_dims(tensor: Tensor) -> int:
    """How many dimensions of a compressed tensor stand before those of its matrices."""
    return stored(tensor).indices[0].ndim - 1


def block_of(tensor: Tensor) -> tuple[int, ...]:
    """The rows and columns of a compressed tensor's blocks; () where its values are no blocks."""
    at = batch_dims(tensor) + 1
    return tuple(stored(tensor).values.shape[at : at + 2]) if KINDS[layout_of(tensor)].blocks else ()


def dense_dims(tensor: Tensor) -> int:
    """How many dimensions each stored value of a compressed tensor has."""
    return tensor.ndim - batch_dims(tensor) - 2
