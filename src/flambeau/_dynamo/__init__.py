"""The names of `torch._dynamo` that programs use. What compiles is `flambeau.compiler`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..compiler import (
    allow_in_graph,
    assume_constant_result,
    compile,
    disable,
    explain,
    is_compiling,
    reset,
    set_stance,
    substitute_in_graph,
)
from ..compiler.backends import lookup_backend, register_backend
from ..compiler.batches import mark
from ..compiler.controls import graph_break, list_backends
from . import config, eval_frame, exc, external_utils, utils
from .eval_frame import OptimizedModule, is_dynamo_supported

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "disallow_in_graph",
    "eval_frame",
    "exc",
    "explain",
    "export",
    "external_utils",
    "graph_break",
    "is_compiling",
    "is_dynamo_supported",
    "list_backends",
    "lookup_backend",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "optimize",
    "register_backend",
    "reset",
    "reset_code_caches",
    "reset_frame_count",
    "run",
    "set_stance",
    "substitute_in_graph",
    "utils",
]

reset_code_caches = reset


def optimize(
    backend: Any = "inductor", *, nopython: bool = False, disable: bool = False, dynamic: bool | None = None
) -> Callable[[Any], Any]:
    """The older form of `torch.compile`: a decorator."""
    return lambda function: compile(function, backend=backend, fullgraph=nopython, disable=disable, dynamic=dynamic)


def mark_dynamic(
    t: Any, index: Any, *, hint_override: Any = None, min: int | None = None, max: int | None = None
) -> None:
    """Sizes of a tensor that compiled functions take openly: one program serves several of them, as with `compile(dynamic=True)`.

    A function for which that can't be says so in a warning, and has a program for each size. `hint_override`, `min` and `max` have no
    meaning for a program that takes all sizes up to its own.
    """
    mark(t, index if isinstance(index, (list, tuple)) else [index])


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """The same as `mark_dynamic`, which raises nothing here."""
    mark_dynamic(t, index)


def mark_static(t: Any, index: Any = None) -> None:
    """Sizes of a tensor (all, without an `index`) for each of which there is a program, also under `compile(dynamic=True)`."""
    dimensions = range(t.ndim) if index is None else index if isinstance(index, (list, tuple)) else [index]
    mark(t, dimensions, is_open=False)


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Nothing follows from it: programs take arrays, not addresses."""


def run(fn: Any = None) -> Any:
    """The function itself. What is compiled already serves its calls; unlike PyTorch's, a call that none of it fits compiles anew."""
    return run if fn is None else fn


def disallow_in_graph(fn: Any) -> Any:
    """NotImplementedError: all of torch's functions are part of a program here, none can be taken out of it."""
    name = getattr(fn, "__name__", fn)
    raise NotImplementedError(
        f"torch._dynamo.disallow_in_graph({name}): torch's own functions can't be taken out of programs. Call it within a "
        "function of your own that torch.compiler.disable marks, or put torch._dynamo.graph_break() before it"
    )


def reset_frame_count() -> None:
    """Nothing: functions, not frames, are compiled, and nobody counts them."""


def export(f: Any, *extra_args: Any, **extra_kwargs: Any) -> Any:
    """NotImplementedError: `torch.export.export` makes a graph of a module."""
    raise NotImplementedError(
        "torch._dynamo.export is not supported: use torch.export.export(module, args), whose result has the same graph as its "
        "graph_module; put a function into a module's forward for it"
    )
