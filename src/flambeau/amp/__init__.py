"""Mixed precision: loss scaling, and the `autocast` context."""

from ..core.dispatch.help import explain_namespace as _explain
from . import autocast_mode, grad_scaler
from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_explain(globals(), "torch.amp")
