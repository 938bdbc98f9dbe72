"""`torch.fx.experimental.proxy_tensor`: the graph of the ATen operators that a function runs for an example."""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ..._symbols import SymBool, SymFloat, SymInt
from ...runtime.absent import refuse
from ...utils import _pytree as pytree
from ..graph import _PyTreeCodeGen, _PyTreeInfo
from ..graph_module import GraphModule
from ._operator_graph import OperatorGraph
from ._transformed import transformed

__all__ = [
    "get_innermost_proxy_mode",
    "get_proxy_mode",
    "make_fx",
    "maybe_disable_thunkify",
    "maybe_enable_thunkify",
    "py_sym_types",
]

py_sym_types = (SymInt, SymFloat, SymBool)


class ProxyTorchDispatchMode(OperatorGraph):
    """Writes each operator that runs while it is entered into a graph."""

    transformed = transformed


_modes: list[ProxyTorchDispatchMode] = []


def get_proxy_mode() -> ProxyTorchDispatchMode | None:
    """The mode of the `make_fx` that runs, if one does."""
    return _modes[-1] if _modes else None


get_innermost_proxy_mode = get_proxy_mode


@contextlib.contextmanager
def maybe_enable_thunkify() -> Iterator[None]:
    """A context in which arithmetic of symbols waits until it is needed: sizes are numbers, so that there is none."""
    yield


@contextlib.contextmanager
def maybe_disable_thunkify() -> Iterator[None]:
    """A context in which it does not wait."""
    yield


def _names(function: Any, count: int) -> list[str]:
    """What a function's arguments are called; `arg0` and so on where it takes any."""
    function, given = inspect.unwrap(function), function
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return [f"arg{k}" for k in range(count)]
    names = list(code.co_varnames[: code.co_argcount])
    if inspect.ismethod(function):
        names = names[1:]
    if len(names) != count and function is not given:
        return [f"arg{k}" for k in range(count)]
    if len(names) != count:
        raise RuntimeError(f"Tracing expected {len(names)} arguments but got {count} concrete arguments")
    return names


def make_fx(
    f: Callable[..., Any],
    decomposition_table: dict[Any, Callable[..., Any]] | None = None,
    tracing_mode: str = "real",
    _allow_non_fake_inputs: bool = False,
    *,
    pre_dispatch: bool = False,
    record_module_stack: bool = False,
    _allow_fake_constant: bool = False,
    _error_on_data_dependent_ops: bool = True,
) -> Callable[..., GraphModule]:
    """A function that runs `f` for an example and gives the graph of the ATen operators that ran, as a GraphModule.

    `decomposition_table` says by operator what is computed in its place. Python's branches, sizes and numbers are those of the
    example. RuntimeError where `f` asks for a value; NotImplementedError for `tracing_mode="symbolic"`, `pre_dispatch`,
    `record_module_stack`, and for what dispatch modes do not see (draws inside of layers). `vmap`, `jvp` and what is made of them are
    traced for one sample, or for the values, and what that ran is then run for all samples, or with derivatives.
    """
    if tracing_mode not in ("real", "fake", "symbolic"):
        raise AssertionError(f'tracing_mode should be one of "real", "fake", "symbolic", got {tracing_mode}')
    for name, asked in (
        ('tracing_mode="symbolic"', tracing_mode == "symbolic"),
        ("pre_dispatch=True", pre_dispatch),
        ("record_module_stack=True", record_module_stack),
    ):
        if asked:
            raise NotImplementedError(
                f"make_fx({name}): sizes are numbers, and operators are those of ATen; leave it out"
            )

    @functools.wraps(f)
    def traced(*args: Any) -> GraphModule:
        return _traced(f, args, dict(decomposition_table or {}))

    return traced


def _plain(value: Any) -> Any:
    """A result whose named tuples of tensors (`torch.return_types`) are plain ones."""
    if isinstance(value, tuple) and "return_types" in type(value).__module__:
        return tuple(value)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value


def _traced(f: Callable[..., Any], args: tuple[Any, ...], rules: dict[Any, Callable[..., Any]]) -> GraphModule:
    mode = ProxyTorchDispatchMode(rules)
    names = _names(f, len(args))
    structure = pytree.tree_structure(list(args))
    made: dict[str, int] = collections.Counter()
    for name, arg in zip(names, args, strict=True):
        for leaf in pytree.tree_leaves(arg):
            made[name] += 1
            mode.placeholder(f"{name}_{made[name]}", leaf)
    _modes.append(mode)
    try:
        with mode:
            out = f(*args)
        flat, out_structure = pytree.tree_flatten(_plain(out))
        held = [mode.argument(value) for value in flat]
    finally:
        _modes.pop()
    nested = any(isinstance(a, (list, tuple, dict)) for a in args) or isinstance(out, dict)
    mode.graph.output(held if nested else pytree.tree_unflatten(held, out_structure))
    if nested:
        inner = pytree.TreeSpec(list, None, structure.children())
        mode.graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(names, inner, out_structure)))
    return GraphModule(mode.root, mode.graph, getattr(f, "__name__", type(f).__name__))


refuse(
    globals(),
    "make_fx writes operators down by a dispatch mode, without a tracer; it takes a decomposition_table",
    "DecompositionInterpreter PythonKeyTracer dispatch_trace handle_sym_dispatch selective_decompose",
)
