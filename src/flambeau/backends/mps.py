"""Apple's GPUs are not used."""

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..runtime.absent import names as _names
from ..runtime.absent import placed as _placed
from ..runtime.absent import refusal as _refusal

__all__ = ["get_core_count", "get_name", "is_available", "is_built", "is_macos13_or_newer", "is_macos_or_newer"]


def is_available() -> bool:
    """Never."""
    return False


def is_built() -> bool:
    """Never."""
    return False


def is_macos_or_newer(major: int, minor: int) -> bool:
    """Never: there is no such device."""
    return False


def is_macos13_or_newer(minor: int = 0) -> bool:
    """Never: there is no such device."""
    return False


_absent = _refusal(
    RuntimeError, "torch.backends.mps.{name}: there is no Metal device, since XLA has no plugin for it here"
)
get_core_count, get_name = _placed(_names(_absent, "get_core_count get_name"), __name__).values()

_explain_namespace(globals(), "torch.backends.mps")
