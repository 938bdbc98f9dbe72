"""`compile`: a Python function with state becomes XLA programs, one for each signature; `export` and `jax_function`."""

from .compiled import Compiled, CompileError
from .controls import (
    allow_in_graph,
    assume_constant_result,
    cudagraph_mark_step_begin,
    disable,
    get_default_backend,
    is_compiling,
    is_dynamo_compiling,
    is_exporting,
    list_backends,
    nested_compile_region,
    set_default_backend,
)
from .entry import Explanation, compile, explain, reset
from .stance import set_stance

__all__ = [
    "CompileError",
    "Compiled",
    "Explanation",
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "explain",
    "get_default_backend",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "nested_compile_region",
    "reset",
    "set_default_backend",
    "set_stance",
]
