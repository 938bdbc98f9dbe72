"""`torch.ao`: quantization, which is refused by name."""

from . import quantization

__all__ = ["quantization"]
