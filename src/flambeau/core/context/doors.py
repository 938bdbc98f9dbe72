"""What a floor needs of one above it, handed down by the package's top when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

compile: Callable[..., Any]  # for `Module.compile`
vmap: Callable[..., Any]  # for masks and scores that are functions of single places
