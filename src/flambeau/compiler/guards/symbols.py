"""What stands on a shadow's stack where no object of the program's does."""

from __future__ import annotations

from typing import Any


class _Symbol:
    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        return False


UNKNOWN: Any = _Symbol("UNKNOWN")  # a value that is not known
NULL: Any = _Symbol("NULL")  # the interpreter's own mark for "no self"
FRESH: Any = _Symbol("FRESH")  # something that the code has just made
PENDING: Any = _Symbol("PENDING")  # what the user's code, or a library's, is about to compute
LATER: Any = _Symbol("LATER")  # what will be known when the instruction is done
ATTRIBUTE: Any = _Symbol("ATTRIBUTE")  # in a way to an object: the next step is an attribute
