"""NVIDIA's library for sparse products, which flambeau does not use."""

from ..core.dispatch.help import explain_namespace as _explain_namespace

__all__ = ["get_max_alg_id", "is_available", "version"]


def is_available() -> bool:
    """False."""
    return False


def version() -> None:
    """None: it is not there."""
    return None


def get_max_alg_id() -> None:
    """None: it is not there."""
    return None


_explain_namespace(globals(), "torch.backends.cusparselt")
