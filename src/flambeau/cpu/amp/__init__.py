"""The old home of mixed precision for the CPU: `torch.amp` with the device type filled in."""

from . import autocast_mode, grad_scaler
from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
