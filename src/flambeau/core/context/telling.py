"""Warnings that point to the line of the program that made the call, however many frames of the library lie between."""

from __future__ import annotations

import os
import sys
import warnings

_LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)).removesuffix(os.path.join("core", "context")), "")


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first frame outside the library, whose modules go by torch's names under the drop-in."""
    frame, level = sys._getframe(), 1
    while frame.f_code.co_filename.startswith(_LIBRARY) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
