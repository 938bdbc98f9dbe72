"""`torch.cuda.nccl`: sums over the GPUs of one process by NVIDIA's library, which XLA keeps to itself."""

from __future__ import annotations

from typing import Any

from ..runtime.absent import names, placed, refusal

__all__ = "all_gather all_reduce broadcast init_rank reduce reduce_scatter unique_id version".split()
SUM = 0


def is_available(tensors: Any) -> bool:
    """Whether the library takes these tensors: never."""
    return False


globals().update(
    placed(
        names(
            refusal(
                NotImplementedError,
                "torch.cuda.nccl.{name}: XLA keeps NVIDIA's library to itself; torch.distributed's functions do this",
            ),
            " ".join(__all__),
        ),
        __name__,
    )
)
