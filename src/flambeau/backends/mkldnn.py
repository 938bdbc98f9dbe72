"""The switch of torch's oneDNN operators; flambeau's own oneDNN kernels do not look at it."""

from ..core.dispatch.help import explain_namespace as _explain_namespace

enabled = True


def is_available() -> bool:
    """Never."""
    return False


_explain_namespace(globals(), "torch.backends.mkldnn")
