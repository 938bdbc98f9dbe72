"""`torch._decomp`: what operators are computed by, for `make_fx(decomposition_table=...)`."""

from . import decompositions
from .registry import (
    core_aten_decompositions,
    decomposition_table,
    get_decompositions,
    global_decomposition_table,
    meta_table,
    pre_autograd_decomposition_table,
    register_decomposition,
    remove_decompositions,
)
