"""How a tensor lies on a mesh: cut along a dimension, whole everywhere, or as parts that are to be added up."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

__all__ = ["Partial", "Placement", "Replicate", "Shard"]


class Placement:
    """How a tensor lies along one side of a mesh."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it is cut (along this dimension)."""
        return False

    def is_replicate(self) -> bool:
        """Whether each process has all of it."""
        return False

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether each process has a part that is to be reduced."""
        return False


@dataclass(frozen=True)
class Shard(Placement):
    """Cut along a dimension of the tensor."""

    dim: int

    def is_shard(self, dim: int | None = None) -> bool:
        return dim is None or dim == self.dim

    def __str__(self) -> str:
        return f"S({self.dim})"

    @staticmethod
    def local_shard_size_and_offset(curr_local_size: int, num_chunks: int, rank: int) -> tuple[int, int]:
        """How long a process's part of a dimension is, and where it begins."""
        full = (curr_local_size + num_chunks - 1) // num_chunks
        start = min(full * rank, curr_local_size)
        return min(full, curr_local_size - start), start

    _local_shard_size_and_offset = local_shard_size_and_offset


@dataclass(frozen=True, repr=False)
class _StridedShard(Placement):
    """Cut along a dimension of which another side of the mesh has cut before: no `Shard`."""

    dim: int
    _: KW_ONLY
    split_factor: int = 1

    def __repr__(self) -> str:
        return f"_StridedShard(dim={self.dim}, sf={self.split_factor})"

    def __str__(self) -> str:
        return f"_S({self.dim}, {self.split_factor})"


@dataclass(frozen=True)
class Replicate(Placement):
    """All of it in each process."""

    def is_replicate(self) -> bool:
        return True

    def __str__(self) -> str:
        return "R"


@dataclass(frozen=True, repr=False)
class Partial(Placement):
    """A part in each process, to be reduced by this operation."""

    reduce_op: str = "sum"

    @property
    def scatters(self) -> bool:
        """Whether the reduction can be made in parts."""
        return True

    def is_partial(self, reduce_op: str | None = None) -> bool:
        return reduce_op is None or reduce_op == self.reduce_op

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"


@dataclass(frozen=True, repr=False)
class _NormPartial(Partial):
    """Norms of each process's part, whose norm is that of the whole."""

    reduce_op: str = "sum"
    norm_type: float = 2

    @property
    def scatters(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"_NormPartial({self.norm_type})"

    def __str__(self) -> str:
        return f"_NormP({self.norm_type})"
