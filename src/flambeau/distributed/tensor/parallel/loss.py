"""`loss_parallel` by PyTorch's own path."""

from .plan import loss_parallel

__all__ = ["loss_parallel"]
