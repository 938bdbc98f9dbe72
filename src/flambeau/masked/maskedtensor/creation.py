"""`torch.masked.maskedtensor.creation`."""

from .core import as_masked_tensor, masked_tensor

__all__ = ["as_masked_tensor", "masked_tensor"]
