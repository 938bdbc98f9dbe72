"""`torch._custom_op`: the oldest door to own operators, of which PyTorch says that `torch.library.custom_op` is to be used."""

from . import impl

__all__ = ["impl"]
