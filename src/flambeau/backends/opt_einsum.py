"""How `einsum` chooses the order of its products: JAX has opt_einsum within."""

from __future__ import annotations

from typing import Any

enabled = True
strategy = "auto"


def is_available() -> bool:
    """Always: JAX needs it."""
    return True


def get_opt_einsum() -> Any:
    """The package."""
    import opt_einsum  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return opt_einsum
