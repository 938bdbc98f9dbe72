"""Gradients of each sample, by PyTorch's old way, which is refused: `torch.func` has the other."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["call_for_per_sample_grads"]


def call_for_per_sample_grads(
    module: Any, *, batch_size: int | None = None, loss_reduction: str = "sum", batch_first: bool = True
) -> NoReturn:
    """Refused: tensors that expand in a module's calls are not here. NotImplementedError."""
    raise NotImplementedError(
        "call_for_per_sample_grads: use torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0)) with "
        "torch.func.functional_call(module, params, x) in `loss`"
    )
