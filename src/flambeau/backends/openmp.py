"""OpenMP is not used."""

from ..core.dispatch.help import explain_namespace as _explain_namespace


def is_available() -> bool:
    """Never."""
    return False


_explain_namespace(globals(), "torch.backends.openmp")
