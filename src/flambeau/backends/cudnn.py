"""cuDNN is not used; its switches are accepted."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ._frozen import within as _within
from ._precision import operator as _operator

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
conv: Any = _operator("cuda", "conv")
rnn: Any = _operator("cuda", "rnn")


def is_available() -> bool:
    """Never."""
    return False


def version() -> int | None:
    """None: there is no cuDNN here."""
    return None


def flags(**switches: Any) -> AbstractContextManager[None]:
    """Other values of the switches inside the `with` block."""
    return _within(__name__, **switches)


_explain_namespace(globals(), "torch.backends.cudnn")
