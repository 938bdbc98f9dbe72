"""Patterns for the names of modules and files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

GlobPattern: TypeAlias = str | Iterable[str]


class GlobGroup:
    """A set of patterns that names are matched with.

    A name and a pattern are segments with `separator` between them. Within a segment of a pattern, `*` stands for any text, and a
    segment `**` for any number of segments, none included: `a.*` is what lies directly in `a`, `a.**` is `a` and all within it.
    A name matches if one of the patterns in `include` does, and none of those in `exclude`.

    Args:
        include: a pattern, or several.
        exclude: patterns for what shall not match.
        separator: `"."` for modules, `"/"` for files.

    Raises ValueError for a segment that has `**` beside other text.
    """

    def __init__(self, include: GlobPattern, *, exclude: GlobPattern = (), separator: str = "."):
        self._text = f"GlobGroup(include={include}, exclude={exclude})"
        self.include = self._compiled(include, separator)
        self.exclude = self._compiled(exclude, separator)
        self.separator = separator

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def matches(self, candidate: str) -> bool:
        """Whether the name matches."""
        name = self.separator + candidate
        return any(p.fullmatch(name) for p in self.include) and not any(p.fullmatch(name) for p in self.exclude)

    @staticmethod
    def _compiled(patterns: GlobPattern, separator: str) -> list[re.Pattern[str]]:
        each = [patterns] if isinstance(patterns, str) else patterns
        return [_expression(pattern, separator) for pattern in each]


def _expression(pattern: str, separator: str) -> re.Pattern[str]:
    """Of names that begin with the separator, so that each segment brings its own."""
    mark = re.escape(separator)
    inside = f"[^{mark}]*"
    parts = []
    for segment in pattern.split(separator):
        if segment == "**":
            parts.append(f"(?:{mark}[^{mark}]+)*")
        elif "**" in segment:
            raise ValueError("** can only appear as an entire path segment")
        else:
            parts.append(mark + inside.join(map(re.escape, segment.split("*"))))
    return re.compile("".join(parts))
