"""Convolutions by NNPACK, which flambeau does not use."""

from ..core.dispatch.help import explain_namespace as _explain_namespace


def is_available() -> bool:
    """False."""
    return False


_explain_namespace(globals(), "torch.backends.nnpack")
