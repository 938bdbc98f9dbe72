"""The layers of `torch.ao.nn.qat.dynamic`, by files as PyTorch has them."""

from .linear import Linear

__all__ = ["Linear"]
