"""Attention over a sequence that is cut over processes: refused by name, as it is not there yet."""

from ... import _later
from . import context_parallel as context_parallel

for _name in ("context_parallel_unshard", "set_rotate_method"):
    globals()[_name] = _later.function(_name, __name__)
