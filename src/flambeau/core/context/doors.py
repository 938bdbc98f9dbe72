"""What a floor needs of one above it, handed down by the package's top when it is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

compile: Callable[..., Any]  # for `Module.compile`
html: Callable[[str, Any], str | None]  # for how a notebook shows a tensor, a module, a report
scripted: Callable[[Any, Any], Any]  # for `load` of a file of `jit.save`
vmap: Callable[..., Any]  # for masks and scores that are functions of single places

# Called first in the processes that load data: a top that changed what names mean says so there, too.
in_workers: list[Callable[[], Any]] = []

# Compiled libraries of operators whose operators flambeau gives itself: (folder, file's stem) -> what registers them.
supplied: dict[tuple[str, str], Callable[[], Any]] = {}
