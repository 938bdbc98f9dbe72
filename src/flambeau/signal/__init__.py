"""`torch.signal`: signal processing. All of it is in `windows`."""

from . import windows

__all__ = ["windows"]
