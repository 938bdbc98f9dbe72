"""`flambeau.nn.functional`: every function that `ops/` declares for it."""

from __future__ import annotations

from .. import ops  # noqa: F401  (declares them)
from ..core.operator import namespaces as _namespaces
from ..ops.elementary import sigmoid, tanh

globals().update(_namespaces["nn.functional"])

__all__ = ["sigmoid", "tanh", *_namespaces["nn.functional"]]
