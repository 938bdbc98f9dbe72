"""What is asked of the options that optimizers are made with."""

from __future__ import annotations

from typing import Any

from ..core.dispatch.messages import message
from ..core.tensor.tensor import Tensor


def check_tensor_rate(lr: Any) -> None:
    """ValueError for a learning rate that is a tensor of another size than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_options(lr: Any, betas: Any = (), **others: Any) -> None:
    """ValueError for a learning rate (a number or a tensor of one element) or another option below 0, or bad betas."""
    check_tensor_rate(lr)
    for name, value in {"learning rate": lr, **others}.items():
        if not value >= 0.0:
            what = {"learning rate": name, "eps": "epsilon value"}.get(name, f"{name} value")
            raise ValueError(f"Invalid {what}: {value}")
    if len(betas) == 1:
        raise IndexError("tuple index out of range (betas are two numbers)")
    if len({isinstance(beta, Tensor) for beta in betas}) > 1:
        raise ValueError(message("betas_mixed"))
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
