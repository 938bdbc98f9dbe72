"""Layers that belong together, by files as PyTorch has them."""

from .fused import *
from .fused import __all__
