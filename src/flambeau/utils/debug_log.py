"""The sizes of gradients, written to the log while they go by."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from ..autograd.graph import register_multi_grad_hook
from ..core.tensor.tensor import Tensor

__all__ = ["debug_grad_log"]


log = logging.getLogger(__name__)


def debug_grad_log(*tensors: Tensor) -> None:
    """Log the norms of these tensors' gradients (INFO) once in each backward pass, when all are known.

    Tensors that need no gradient are left out, also of the count. Nothing happens in the forward pass.
    """
    watched = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
    if not watched:
        return

    def told(gradients: Sequence[Tensor | None]) -> None:
        rank = os.environ.get("RANK", "0")
        sizes = [f"t{i}_grad_norm={g.norm().item():.4f}" for i, g in enumerate(gradients) if g is not None]
        log.info("[rank %s][bwd] %s", rank, " ".join(sizes))

    register_multi_grad_hook(watched, told)
