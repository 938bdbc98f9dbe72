"""Attention layers have one way here, so the switch of PyTorch's fast path is remembered and changes nothing."""

from ..core.dispatch.help import explain_namespace as _explain_namespace

_enabled = True


def get_fastpath_enabled() -> bool:
    """What `set_fastpath_enabled` was given last; True at first."""
    return _enabled


def set_fastpath_enabled(value: bool) -> None:
    """Remember the choice. Results are the same either way."""
    global _enabled
    _enabled = value


_explain_namespace(globals(), "torch.backends.mha")
