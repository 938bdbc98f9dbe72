"""What stands on a shadow's stack where no object of the program's does."""

from __future__ import annotations

from typing import Any


class Symbol:
    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        return False


UNKNOWN: Any = Symbol("UNKNOWN")  # a value that is not known
NULL: Any = Symbol("NULL")  # the interpreter's own mark for "no self"
HELD: Any = Symbol("HELD")  # what a variable holds, or a function that was followed has returned: known already
FRESH: Any = Symbol("FRESH")  # something that the code has just made
PENDING: Any = Symbol("PENDING")  # what the user's code, or a library's, is about to compute
LATER: Any = Symbol("LATER")  # what will be known when the instruction is done
ATTRIBUTE: Any = Symbol("ATTRIBUTE")  # in a way to an object: the next step is an attribute
