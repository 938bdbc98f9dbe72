"""Layers that belong together and round their weight, by files as PyTorch has them."""

from .conv_fused import *
from .conv_fused import __all__ as _convolutions
from .linear_fused import LinearBn1d
from .linear_relu import LinearReLU

__all__ = ["LinearBn1d", "LinearReLU", *_convolutions]
