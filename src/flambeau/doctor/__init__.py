"""`flambeau doctor`: what learners trip over, found by reading a script and by watching it run, with line, reason and cure."""

from __future__ import annotations

from .examination import examine
from .findings import Finding, language, report

__all__ = ["Finding", "examine", "language", "report"]
