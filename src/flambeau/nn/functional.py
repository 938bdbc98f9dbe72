"""`flambeau.nn.functional`: every function that `ops/` declares for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ops  # noqa: F401  (declares them)
from ..core.dispatch.operator import namespaces as _namespaces

globals().update(_namespaces["nn.functional"])
sigmoid, tanh = _namespaces["torch"]["sigmoid"], _namespaces["torch"]["tanh"]

__all__ = ["sigmoid", "tanh", *_namespaces["nn.functional"]]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # a type checker cannot see what `ops/` declares
