"""Attention layers have one way here, so the switch of PyTorch's fast path is remembered and changes nothing."""

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ..runtime.settings import asks_setting as _asks_setting
from ..runtime.settings import changes_setting as _changes_setting

_enabled = True


@_asks_setting
def get_fastpath_enabled() -> bool:
    """What `set_fastpath_enabled` was given last; True at first."""
    return _enabled


@_changes_setting
def set_fastpath_enabled(value: bool) -> None:
    """Remember the choice. Results are the same either way."""
    global _enabled
    _enabled = value


_explain_namespace(globals(), "torch.backends.mha")
