"""`trace`: a function or module, run once with an example, which `save` then knows. Nothing is recorded: Python runs the code."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.context.grad_mode import no_grad
from ..core.tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..random import get_rng_state, set_rng_state  # type: ignore[attr-defined]
from ..testing import assert_close
from ..utils import _pytree as pytree
from . import _state
from ._asked import TellOfValues
from ._script import ScriptFunction, ScriptModule, as_script, no_graph, tell

T = TypeVar("T")


class TracerWarning(Warning):
    """Code that gives another result each time, as `check_trace` finds, or that asks for the values of tensors."""

    @staticmethod
    def ignore_lib_warnings() -> None:
        """Nothing is to be done."""


class TracingCheckError(Exception):
    """What PyTorch raises where a trace computes something else than the code. Never raised here."""

    def __init__(self, graph_diff_error: Any, tensor_compare_error: Any, extra_msg: str | None = None):
        self.message = "Tracing failed sanity checks!\n" + (f"{extra_msg}\n" if extra_msg is not None else "")
        super().__init__(self.message)


class TracedModule(ScriptModule):
    """A traced module."""


class TopLevelTracedModule(TracedModule):
    """What `trace` makes of a module: of a class that is derived from this one and the module's."""


def is_tracing() -> bool:
    """Always False: code is never inside TorchScript's tracer."""
    return False


def script_if_tracing(fn: T) -> T:
    """The function itself, since nothing traces."""
    return fn


_script_if_tracing = script_if_tracing


def _arguments(example: Any, keywords: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the example calls with. A tensor, or a dict, is one argument."""
    if example is None and keywords is None:
        raise TypeError("trace: example_inputs or example_kwarg_inputs is needed to run the function")
    if keywords is not None:
        if not isinstance(keywords, dict):
            raise TypeError(f"example_kwarg_inputs should be a dict, got {type(keywords).__name__}")
        return (), dict(keywords)
    if isinstance(example, (Tensor, dict)) or not isinstance(example, (tuple, list)):
        return (example,), {}
    return tuple(example), {}


def trace(
    func: Any, example_inputs: Any = None, optimize: None = None, check_trace: bool = True, check_inputs: Any = None,
    check_tolerance: float = 1e-5, strict: bool = True, _force_outplace: bool = False, _module_class: Any = None,
    _compilation_unit: Any = None, example_kwarg_inputs: Any = None, _store_inputs: bool = True,
) -> Any:  # fmt: skip
    """A function or module that has been run with the example, so that what it can't do is known now.

    Unlike PyTorch's trace, the Python code runs at each call: branches and the module's mode are those of the call. With
    `check_trace` the code runs a second time (a module's as a copy), and a result that is another one by more than `check_tolerance`
    is told in a TracerWarning, as is each line that asks for values: they are constants in a file that `save` writes. Each of
    `check_inputs` is run as the example is, which is kept for `save`.

    TypeError if there is no example, RuntimeError for a result that PyTorch's trace does not take.
    """
    if not _state._enabled:
        return func
    owner = getattr(func, "__self__", None)
    if isinstance(owner, Module) and getattr(func, "__name__", "") == "forward":
        func = owner
    args, kwargs = _arguments(example_inputs, example_kwarg_inputs)
    if not callable(func):
        raise TypeError(f"trace expects a function or a module, got {type(func).__name__}")
    if isinstance(func, (ScriptModule, ScriptFunction)):
        return func
    tell()
    with no_grad(), TellOfValues(TracerWarning):
        first = func(*args, **kwargs)
        _check_output(first, strict)
        if check_trace:
            _check_again(func, args, kwargs, first, check_tolerance)
        for other in check_inputs or () if check_trace else ():
            more, named = _arguments(None, other) if example_kwarg_inputs is not None else _arguments(other, None)
            _check_output(func(*more, **named), strict)
    if not isinstance(func, Module):
        return ScriptFunction(func, (args, kwargs))
    made = as_script(func, TopLevelTracedModule)
    made.__dict__["_example"] = (args, kwargs)
    return made


def _check_again(func: Any, args: Any, kwargs: Any, first: Any, tolerance: float) -> None:
    """Warns of results that another run with the same example does not give. The generator is left as it was."""
    try:
        again = copy.deepcopy(func) if isinstance(func, Module) else func
    except Exception:  # what can't be copied is not run twice, since a run may change it
        return
    before = get_rng_state()
    try:
        second = again(*args, **kwargs)
    finally:
        set_rng_state(before)
    for k, (a, b) in enumerate(zip(pytree.tree_leaves(second), pytree.tree_leaves(first), strict=False)):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            try:
                assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
            except AssertionError as error:
                warnings.warn(
                    f"Output nr {k + 1}. of the traced function does not match the corresponding output of the Python function. "
                    f"Detailed error:\n{error}",
                    category=TracerWarning,
                    stacklevel=3,
                )


def _check_output(output: Any, strict: bool) -> None:
    """Refuse what PyTorch's trace can't return."""
    if isinstance(output, (dict, list)) and strict:
        raise RuntimeError(
            f"Encountering a {type(output).__name__} at the output of the tracer might cause the trace to be incorrect, this "
            "is only valid if the container structure does not change based on the module's inputs. Consider using a "
            "constant container instead (e.g. for `list`, use a `tuple` instead. for `dict`, use a `NamedTuple` instead), or "
            "pass strict=False to the tracer."
        )
    if isinstance(output, (dict, list, tuple)):
        for part in output.values() if isinstance(output, dict) else output:
            _check_output(part, strict)
    elif not isinstance(output, Tensor):
        raise RuntimeError(
            "Only tensors, lists, tuples of tensors, or dictionary of tensors can be output from traced functions; "
            f"got {type(output).__name__}"
        )


def trace_module(
    mod: Module, inputs: dict[str, Any], optimize: None = None, check_trace: bool = True, check_inputs: Any = None,
    check_tolerance: float = 1e-5, strict: bool = True, _force_outplace: bool = False, _module_class: Any = None,
    _compilation_unit: Any = None, example_inputs_is_kwarg: bool = False, _store_inputs: bool = True,
) -> Any:  # fmt: skip
    """A module, several of whose methods have been run with examples: `inputs` has one for each method's name.

    `check_inputs` are more of these, which are run too.
    """
    if not _state._enabled:
        return mod
    if not isinstance(mod, Module):
        raise AttributeError("expected torch.nn.Module as the first argument")
    if not isinstance(inputs, dict):
        raise AttributeError("expected a dictionary of (method_name, input) pairs")
    tell()
    examples = {}
    with no_grad():
        for name, example in inputs.items():
            args, kwargs = _arguments(None, example) if example_inputs_is_kwarg else _arguments(example, None)
            with TellOfValues(TracerWarning):
                (mod if name == "forward" else getattr(mod, name))(*args, **kwargs)
            examples[name] = (args, kwargs)
        for others in check_inputs or () if check_trace else ():
            for name, other in others.items():
                args, kwargs = _arguments(None, other) if example_inputs_is_kwarg else _arguments(other, None)
                (mod if name == "forward" else getattr(mod, name))(*args, **kwargs)
    made = as_script(mod, TopLevelTracedModule)
    made.__dict__["_example"] = examples.get("forward")
    return made


def _get_trace_graph(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Refused: it would return a TorchScript graph."""
    raise NotImplementedError(no_graph("torch.jit._get_trace_graph"))
