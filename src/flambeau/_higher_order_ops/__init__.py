"""Branches and loops as operators: uncompiled they are Python's, in a compiled function one operation of its program."""

from .associative_scan import associative_scan
from .cond import cond
from .map import map
from .scan import scan
from .while_loop import while_loop

__all__ = ["associative_scan", "cond", "map", "scan", "while_loop"]
