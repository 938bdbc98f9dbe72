"""Warnings that name the user's line, whichever face or form of a function was called."""

from __future__ import annotations

import os
import sys
import warnings

import jax

from ..array import reshaping

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_NOT_THE_USERS = (
    _OURS,
    os.path.dirname(os.path.abspath(jax.__file__)) + os.sep,
)  # an operator's program is made within JAX
_given: set[str] = set()  # kinds that were told in this process


class _Always:
    """Whether `warn_once` warns at each call, as `torch.set_warn_always` says."""

    value: bool = False


always = _Always()


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is not flambeau's."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_USERS):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def warn_once(text: str, category: type[Warning] = UserWarning) -> None:
    """`warn`, but only the first time in a process."""
    if always.value or text not in _given:
        _given.add(text)
        warn(text, category)


reshaping.spent.tell = warn
