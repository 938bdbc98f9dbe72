"""`compile`: a Python function with state becomes XLA programs, one for each signature; `export` and `jax_function`."""

from .compiled import Compiled, CompileError, Explanation, compile, explain, is_compiling, reset

__all__ = ["CompileError", "Compiled", "Explanation", "compile", "explain", "is_compiling", "reset"]
