"""`torch.compiler`: what programs say about how parts of them are to be compiled."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.context.grad_mode import state as grad_state
from ..core.context.tracing import Untraceable
from ..core.context.warned import warn_once
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import flatten, unflatten
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..ops.making.creation import from_numpy
from .backends import check_backend, registered


class Disabled(Untraceable):
    """A trace met a function that is to run uncompiled: as it was asked to, so nobody is warned."""


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function, which always runs uncompiled, and with it (`recursive`) what it calls. A module is changed in place.

    A compiled function that calls it runs uncompiled, except for its other modules; with `fullgraph=True` that is an error.
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if isinstance(fn, Module):
        fn.__dict__["forward"] = disable(fn.forward, recursive, reason=reason)
        return fn
    if isinstance(fn, type):
        fn.__init__ = disable(fn.__init__, recursive, reason=reason)  # type: ignore[misc]
        return fn
    if not callable(fn):
        raise AssertionError("fn must be callable")

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> Any:
        if grad_state.trace is not None:
            why = f" ({reason})" if reason else ""
            name = getattr(fn, "__qualname__", fn)
            raise Disabled(f"it calls {name}, which torch.compiler.disable leaves uncompiled{why}")
        before = grad_state.regional, grad_state.uncompiled
        grad_state.regional, grad_state.uncompiled = None, grad_state.uncompiled or recursive
        try:
            return fn(*args, **kwargs)
        finally:
            grad_state.regional, grad_state.uncompiled = before

    run._torchdynamo_disable = True  # type: ignore[attr-defined]
    return run


def graph_break(msg: str = "") -> None:
    """Where it stands, a function is not one program: it runs uncompiled, its modules one by one."""
    if grad_state.trace is not None:
        raise Untraceable(f"it asks for a break{f' ({msg})' if msg else ''}")


def allow_in_graph(fn: Any) -> Any:
    """The function itself (or the list of them): all functions are part of the program here."""
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(f) for f in fn]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself. Its result is no constant here: what it reads is looked at, as for every function."""
    fn._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return fn


def is_compiling() -> bool:
    """Whether the code that asks is being traced."""
    return grad_state.trace is not None


def is_dynamo_compiling() -> bool:
    """False: there is no Dynamo."""
    return False


def is_exporting() -> bool:
    """Whether the code that asks is being traced for a file (`flambeau.export`)."""
    return grad_state.trace is not None and getattr(grad_state.trace, "exporting", False)


def cudagraph_mark_step_begin() -> None:
    """Nothing is to be done: XLA has no CUDA graphs that a step would have to be told of."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names of the compilers that `torch.compile(backend=...)` could choose from: XLA, and what `register_backend` was given."""
    return sorted(["xla", *registered(exclude_tags)])


_default: list[Any] = [None]


def set_default_backend(backend: Any) -> None:
    """Remember what `compile` would use where no `backend` is named (None: XLA again). It is always XLA that compiles."""
    if not (backend is None or isinstance(backend, str) or callable(backend)):
        raise TypeError(f"backend must be a string or callable, got {type(backend)}")
    check_backend(backend)
    _default[0] = backend


def get_default_backend() -> Any:
    """What `set_default_backend` was given last, or "xla"."""
    return "xla" if _default[0] is None else _default[0]


def nested_compile_region(
    fn: Any = None, *, options: Any = None, max_reuse_entries: int = 8, reuse_hash_fn: Any = None
) -> Any:
    """Say that a function is called several times in a compiled one. It is compiled as any other; serves as a decorator."""
    return (lambda function: function) if fn is None else fn


# --- guards: all that a program holds for is looked at, so none are left out ---------------------------------------------


def skip_all_guards_unsafe(guard_entries: Any) -> list[bool]:
    """For `guard_filter_fn`: keep none. `compile` says that it looks at all of them."""
    return [False for _ in guard_entries]


def skip_guard_on_globals_unsafe(guard_entries: Any) -> list[bool]:
    """For `guard_filter_fn`: keep those that are of no global variable."""
    return [not entry.is_global for entry in guard_entries]


def skip_guard_on_inbuilt_nn_modules_unsafe(guard_entries: Any) -> list[bool]:
    """For `guard_filter_fn`: keep those that are of no layer of `torch.nn`."""
    return [not entry.orig_guard.source.is_unspecialized_builtin_nn_module() for entry in guard_entries]


def skip_guard_on_all_nn_modules_unsafe(guard_entries: Any) -> list[bool]:
    """For `guard_filter_fn`: keep those that are of no module."""
    return [not entry.orig_guard.source.is_unspecialized_nn_module() for entry in guard_entries]


def keep_tensor_guards_unsafe(guard_entries: Any, keep_parameters: bool = False) -> list[bool]:
    """For `guard_filter_fn`: keep those that are of a tensor, and of a parameter with `keep_parameters`."""
    return [
        entry.guard_type == "TENSOR_MATCH" and (keep_parameters or not isinstance(entry.value, Parameter))
        for entry in guard_entries
    ]


_PORTABLE = ("TENSOR_MATCH", "GLOBAL_STATE", "SHAPE_ENV")


def keep_portable_guards_unsafe(guard_entries: Any) -> list[bool]:
    """For `guard_filter_fn`: keep those that code outside of Python could look at."""
    return [
        entry.guard_type in _PORTABLE and not (entry.guard_type == "TENSOR_MATCH" and entry.is_global)
        for entry in guard_entries
    ]


def tell_of_filter() -> None:
    """Say that guards are not left out."""
    warnings.warn(
        "torch.compile(options={'guard_filter_fn': ...}): flambeau looks at all that a program holds for, so that a compiled "
        "function gives what the uncompiled one gives; the filter is not asked",
        stacklevel=3,
    )


_collectives = [False]


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Whether processes agree on which program runs, as it was set before. Not here: each compiles for itself (a warning)."""
    if enabled:
        warnings.warn(
            "torch.compiler.set_enable_guard_collectives: each process looks at its own guards, and nobody waits for others",
            stacklevel=2,
        )
    before, _collectives[0] = _collectives[0], bool(enabled)
    return before


def substitute_in_graph(
    original_fn: Callable[..., Any], *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of a function in Python that does what `original_fn`, one in C, does. It is told that it is not called.

    A compiled function that calls `original_fn` runs uncompiled where nobody can look into that, and gives the same. TypeError for what
    is no function, or has other arguments (unless `skip_signature_check`). Nothing follows from `can_constant_fold_through`.
    """
    if not callable(original_fn) or isinstance(original_fn, type):
        raise TypeError(f"substitute_in_graph expects a function but got {type(original_fn)}")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(function):
            raise TypeError(f"@substitute_in_graph(...) expects a function but got {type(function)}")
        if not skip_signature_check:
            _same_arguments(original_fn, function)
        warn_once(
            f"torch.compiler.substitute_in_graph({getattr(original_fn, '__qualname__', original_fn)}): functions in C are not replaced; "
            "a compiled function that calls it runs uncompiled where that is needed"
        )
        return function

    return decorate


def _same_arguments(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    try:
        known = inspect.signature(one), inspect.signature(other)
    except ValueError:  # some functions in C have none
        return
    shown = [[(p.name, p.kind) for p in signature.parameters.values()] for signature in known]
    if shown[0] != shown[1]:
        raise TypeError(f"Signature mismatch between {one} and {other}: {known[0]} != {known[1]}")


def load_compiled_function(file: Any, *, f_globals: dict[str, Any] | None = None, external_data: Any = None) -> Any:
    """Refused (NotImplementedError): PyTorch's `file` holds the code of its own compiler, `f_globals` and `external_data` what that lacks."""
    raise NotImplementedError(
        "torch.compiler.load_compiled_function: such a file holds code of PyTorch's own compiler. torch.export.save and load keep a "
        "program for XLA; compiled programs are kept on the disk by themselves"
    )


# --- programs on the disk, and NumPy's functions -------------------------------------------------------------------------


def save_cache_artifacts() -> None:
    """None: XLA keeps its programs on the disk by itself (`jax_compilation_cache_dir`), so there is nothing to hand on."""


def load_cache_artifacts(serialized_artifacts: bytes) -> None:
    """None, and a warning: what PyTorch has saved is of use to its own compiler alone."""
    warnings.warn(
        "torch.compiler.load_cache_artifacts: nothing is loaded; XLA keeps its programs on the disk by itself",
        stacklevel=2,
    )


def wrap_numpy(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays as one of tensors: it gets their values, and its arrays come back as tensors. No gradients.

    A compiled function that calls it runs uncompiled: NumPy needs the values.
    """

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = flatten((args, kwargs))
        args, kwargs = unflatten([a.numpy() if isinstance(a, Tensor) else a for a in leaves], spec)
        leaves, spec = flatten(fn(*args, **kwargs))
        return unflatten([from_numpy(a) if isinstance(a, np.ndarray) else a for a in leaves], spec)

    return wrapped
