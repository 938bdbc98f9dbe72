"""How `einsum` chooses the order of its products: JAX has opt_einsum within."""

from __future__ import annotations

from typing import Any

from ..core.dispatch.help import explain_namespace as _explain_namespace

enabled = True
strategy = "auto"


def is_available() -> bool:
    """Always: JAX needs it."""
    return True


def get_opt_einsum() -> Any:
    """The package."""
    import opt_einsum  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return opt_einsum


_explain_namespace(globals(), "torch.backends.opt_einsum")
