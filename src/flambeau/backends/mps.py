"""Apple's GPUs are not used."""

from ..core.dispatch.help import explain_namespace as _explain_namespace

__all__ = ["is_available", "is_built", "is_macos13_or_newer", "is_macos_or_newer"]


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


_explain_namespace(globals(), "torch.backends.mps")
