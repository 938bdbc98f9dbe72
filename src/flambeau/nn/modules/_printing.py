"""How modules print: one line each, children indented below their parent."""

from __future__ import annotations

from collections.abc import Iterable


def indented(text: str, spaces: int = 2) -> str:
    """`text` with all lines but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


def tree(name: str, extra: str, children: Iterable[tuple[str, object]]) -> str:
    """`Name(extra)`, or over several lines if there are children or more than one line of extra."""
    lines = [f"({key}): {indented(repr(child))}" for key, child in children]
    if not lines and "\n" not in extra:
        return f"{name}({extra})"
    if extra:
        lines[:0] = extra.split("\n")
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"
