"""cuDNN is not used; its switches are accepted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.dispatch.help import explain_namespace as _explain_namespace

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Never."""
    return False


def version() -> int | None:
    """None: there is no cuDNN here."""
    return None


@contextmanager
def flags(**switches: Any) -> Iterator[None]:
    """Other values of the switches inside the `with` block."""
    before = {name: globals()[name] for name in switches if name in globals()}
    globals().update({name: switches[name] for name in before})
    try:
        yield
    finally:
        globals().update(before)


_explain_namespace(globals(), "torch.backends.cudnn")
