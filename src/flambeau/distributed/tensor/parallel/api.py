"""`parallelize_module` by PyTorch's own path."""

from .plan import parallelize_module

__all__ = ["parallelize_module"]
