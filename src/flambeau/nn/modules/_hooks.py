"""Hooks: their registration (of one module, and of all), and the call of a module that has some.

Every kind of hook is a table from handle ids to functions, in the order in which they run. Options of single hooks are
tables of their own under the same ids. All tables are attributes of the module under PyTorch's names.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ...core.autograd.engine import RemovableHandle
from ...core.autograd.function import Function
from ...core.context.grad_mode import is_grad_enabled
from ...core.context.grad_mode import state as grad_state
from ...core.context.telling import warn
from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor, wrap
from ._direct_calls import WatchedForward, calling, watch
from ._errors import locate, shapes_of

Table = OrderedDict[int, Any]

_global_forward_pre_hooks: Table = OrderedDict()
_global_forward_hooks: Table = OrderedDict()
_global_forward_hooks_with_kwargs: Table = OrderedDict()
_global_forward_hooks_always_called: Table = OrderedDict()
_global_backward_pre_hooks: Table = OrderedDict()
_global_backward_hooks: Table = OrderedDict()
_global_buffer_registration_hooks: Table = OrderedDict()
_global_module_registration_hooks: Table = OrderedDict()
_global_parameter_registration_hooks: Table = OrderedDict()
_global_is_full_backward_hook: bool | None = None

# every global hook that takes part in calls is listed here too, so that a call has one table to look at
global_call_hooks: Table = OrderedDict()

MIXED = "Cannot use both regular backward hooks and full backward hooks on {}. Please use only one of them."


def add(table: Table, hook: Any, *options: Table, prepend: bool = False) -> RemovableHandle:
    """Put a hook into its table (at its end, or in front of the others) and its number into those of its options."""
    handle = RemovableHandle(table, extra_dict=list(options))
    table[handle.id] = hook
    for option in options:
        option[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


# --- hooks of all modules ---------------------------------------------------------------------------------------------


def register_module_buffer_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call `hook(module, name, buffer)` whenever a buffer is registered; its result, if not None, is registered."""
    return add(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call `hook(module, name, child)` whenever a child is registered; what it returns, if not None, is registered."""
    return add(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call `hook(module, name, param)` whenever a parameter is registered; what it returns is registered instead."""
    return add(_global_parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook: Callable[..., None]) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module, ahead of the module's own pre-hooks."""
    return add(_global_forward_pre_hooks, hook, global_call_hooks)


def register_module_forward_hook(
    hook: Callable[..., None], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module, ahead of the module's own hooks."""
    options = [global_call_hooks]
    if with_kwargs:
        options.append(_global_forward_hooks_with_kwargs)
    if always_call:
        options.append(_global_forward_hooks_always_called)
    return add(_global_forward_hooks, hook, *options)


def _set_global_kind(full: bool) -> None:
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is (not full) and _global_backward_hooks:
        raise RuntimeError(MIXED.format("all modules"))
    _global_is_full_backward_hook = full


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """The older form of `register_module_full_backward_hook`; sees only the last operation of a module."""
    _set_global_kind(False)
    return add(_global_backward_hooks, hook, global_call_hooks)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the backward of every module, ahead of the module's own."""
    return add(_global_backward_pre_hooks, hook, global_call_hooks)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` in the backward of every module, ahead of the module's own."""
    _set_global_kind(True)
    return add(_global_backward_hooks, hook, global_call_hooks)


def registered(table: Table, module: Any, name: str, value: Any) -> Any:
    """`value` as the global registration hooks in `table` leave it."""
    for hook in table.values():
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


# --- hooks of one module ----------------------------------------------------------------------------------------------


class HookMethods:
    """The methods of Module that register hooks."""

    _forward_hooks: Table
    _forward_hooks_with_kwargs: Table
    _forward_hooks_always_called: Table
    _forward_pre_hooks: Table
    _forward_pre_hooks_with_kwargs: Table
    _backward_hooks: Table
    _backward_pre_hooks: Table
    _is_full_backward_hook: bool | None

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward. What it returns, if not None, takes the place of the arguments.

        With `with_kwargs`, the hook is called as `hook(module, args, kwargs)` and returns None or the pair.
        """
        options = [self._forward_pre_hooks_with_kwargs] if with_kwargs else []
        return self._add_hook(self._forward_pre_hooks, hook, *options, prepend=prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward. What it returns, if not None, takes the output's place.

        With `with_kwargs`, the hook is called as `hook(module, args, kwargs, output)`. With `always_call`, it is called
        when the forward raises, too.
        """
        options = []
        if with_kwargs:
            options.append(self._forward_hooks_with_kwargs)
        if always_call:
            options.append(self._forward_hooks_always_called)
        return self._add_hook(self._forward_hooks, hook, *options, prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward; it may return other gradients."""
        return self._add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` once the gradients of the positional inputs are known.

        Both are tuples with None for what is no tensor. The hook may return other gradients for the inputs. If no input
        requires grad, it is called when the gradients of the outputs are known.
        """
        self._set_backward_kind(True)
        return self._add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The older form of `register_full_backward_hook`: sees only the inputs of the last operation."""
        self._set_backward_kind(False)
        return self._add_hook(self._backward_hooks, hook)

    def _add_hook(self, table: Table, hook: Any, *options: Table, prepend: bool = False) -> RemovableHandle:
        handle = add(table, hook, *options, prepend=prepend)
        watch(self)
        return handle

    def _set_backward_kind(self, full: bool) -> None:
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(MIXED.format("a single Module"))
        self._is_full_backward_hook = full


class _WrappedHook:
    """A hook that may want the module it is registered on as its first argument; it follows copies of the module."""

    def __init__(self, hook: Callable[..., Any], module: Any = None):
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if self.with_module:
            self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("this hook belongs to a module that is gone")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        module = state["module"] if state["with_module"] else None
        if state["with_module"] and module is None:
            raise RuntimeError("this hook was saved after its module was gone")
        self.__init__(state["hook"], module)  # type: ignore[misc]


# --- the call of a module with hooks ----------------------------------------------------------------------------------


def call(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], plainly: bool = False) -> Any:
    """`module.forward(*args, **kwargs)` with all hooks around it, the global ones first.

    A module that was compiled with `Module.compile` runs its program instead, unless this is `plainly` the call for it.
    """
    own = module.__dict__
    trace = grad_state.trace
    if trace is not None:
        trace.modules[module] = None
        trace.demands.calls.append(functools.partial(locate, module=module, inputs=shapes_of(args, kwargs)))
    elif "_compiled_call_impl" in own and not plainly:
        return own["_compiled_call_impl"](*args, **kwargs)
    elif not plainly and (run := grad_state.regional) is not None and not grad_state.transforms:
        return run(module, args, kwargs)
    done: set[int] = set()  # numbers of the always-called hooks that had their turn; numbers are unique over all tables
    result = None
    calling.modules.append(module)
    try:
        args, kwargs = _before(module, own, args, kwargs)
        gradients = _backward_call(module, own)
        if gradients is not None:
            args = gradients.enter(args)
        forward = module.forward
        result = (forward.__wrapped__ if type(forward) is WatchedForward else forward)(*args, **kwargs)
        for number, hook, with_kwargs, always in _forward_hooks(own):
            if always:
                done.add(number)
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            if changed is not None:
                result = changed
        if gradients is not None:
            result = gradients.leave(result)
        _watch_last_node(module, own, result)
        return result
    except BaseException:  # a checkpoint's second run, too, ends by one
        for number, hook, with_kwargs, always in _forward_hooks(own):
            if always and number not in done:
                try:
                    hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
                except Exception as error:
                    warnings.warn(
                        "a forward hook with ``always_call=True`` raised an exception that was silenced, since another "
                        f"error was raised in forward: {error}"
                    )
        raise
    finally:
        calling.modules.pop()
        if trace is not None:
            trace.demands.calls.pop()


def _before(module: Any, own: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = own["_forward_pre_hooks_with_kwargs"]
    for number, hook in (*_global_forward_pre_hooks.items(), *own["_forward_pre_hooks"].items()):
        if number in options:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _forward_hooks(own: dict[str, Any]) -> list[tuple[int, Any, bool, bool]]:
    tables = (
        (_global_forward_hooks, _global_forward_hooks_with_kwargs, _global_forward_hooks_always_called),
        (own["_forward_hooks"], own["_forward_hooks_with_kwargs"], own["_forward_hooks_always_called"]),
    )
    return [(n, hook, n in kw, n in always) for hooks, kw, always in tables for n, hook in hooks.items()]


# --- gradients --------------------------------------------------------------------------------------------------------


def _backward_call(module: Any, own: dict[str, Any]) -> _BackwardCall | None:
    hooks: list[Any] = []
    if _global_is_full_backward_hook:
        hooks += _global_backward_hooks.values()
    if own["_is_full_backward_hook"]:
        hooks += own["_backward_hooks"].values()
    before = [*_global_backward_pre_hooks.values(), *own["_backward_pre_hooks"].values()]
    return _BackwardCall(module, hooks, before) if hooks or before else None


class BackwardHookFunction(Function):
    """The identity; what comes back through it is given to a function first."""

    @staticmethod
    def forward(ctx: Any, returning: Callable[..., Any], *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.returning = returning
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        return (None, *ctx.returning(gradients))


class _Places:
    """Which of a call's inputs or outputs are tensors, and through which of them gradients flow."""

    def __init__(self, values: tuple[Any, ...]):
        self.kinds = [(tuple(v.shape), v._np_dtype) if isinstance(v, Tensor) else None for v in values]
        self.live = [isinstance(v, Tensor) and v.requires_grad for v in values]

    def through(self, values: tuple[Any, ...], returning: Callable[..., Any]) -> tuple[Any, ...]:
        """The values, those with gradients passed through an identity whose backward is `returning`."""
        passed = iter(BackwardHookFunction.apply(returning, *self.pick(values)))
        return tuple(next(passed) if live else v for v, live in zip(values, self.live, strict=True))

    def pick(self, values: tuple[Any, ...]) -> list[Any]:
        """Those with gradients."""
        return [v for v, live in zip(values, self.live, strict=True) if live]

    def spread(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        """The opposite of `pick`, with None for the others."""
        found = iter(gradients)
        return tuple(next(found) if live else None for live in self.live)

    def filled(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same with zeros for tensors that no gradient reached."""
        return tuple(
            wrap(jnp.zeros(*kind)) if g is None and kind is not None else g
            for g, kind in zip(gradients, self.kinds, strict=True)
        )


class _BackwardCall:
    """The backward hooks of one call of a module: an identity at its inputs and one at its outputs call them."""

    def __init__(self, module: Any, hooks: list[Any], before: list[Any]):
        self.module = module
        self.hooks = hooks
        self.before = before
        self.grad_output: tuple[Any, ...] | None = None

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.inputs = _Places(args)
        self.from_inputs = is_grad_enabled() and any(self.inputs.live)
        return self.inputs.through(args, self._at_inputs) if self.from_inputs else args

    def leave(self, result: Any) -> Any:
        single = isinstance(result, Tensor)
        if not single and not isinstance(result, tuple):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}"
            )
            return result
        values = (result,) if single else result
        self.outputs = _Places(values)
        if not is_grad_enabled() or not any(self.outputs.live):
            return result
        passed = self.outputs.through(values, self._at_outputs)
        if single:
            return passed[0]
        return type(result)(*passed) if hasattr(result, "_fields") else passed

    def _at_outputs(self, gradients: tuple[Any, ...]) -> list[Any]:
        grad_output = self.outputs.spread(gradients)
        for hook in self.before:
            changed = hook(self.module, grad_output)
            grad_output = _changed(changed, grad_output, "Backward pre hook", "grad_output")
        if self.from_inputs:
            self.grad_output = grad_output
        else:
            warn(message("full_hook_of_outputs"))
            nothing = (None,) * len(self.inputs.live)
            for hook in self.hooks:
                changed = hook(self.module, nothing, grad_output)
                if changed is not None and not (isinstance(changed, (tuple, list)) and all(g is None for g in changed)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        if all(g is None for g in grad_output):  # a custom Function behind it has given none
            return self.outputs.pick(grad_output)
        return self.outputs.pick(self.outputs.filled(grad_output))

    def _at_inputs(self, gradients: tuple[Any, ...]) -> list[Any]:
        grad_output, self.grad_output = self.grad_output, None
        grad_input = self.inputs.spread(gradients)
        if grad_output is not None:  # else this gradient did not come through the module's output
            grad_input = self.inputs.filled(grad_input)
            for hook in self.hooks:
                changed = hook(self.module, grad_input, grad_output)
                grad_input = _changed(changed, grad_input, "Backward hook", "grad_input")
        return self.inputs.pick(grad_input)


def _changed(changed: Any, gradients: tuple[Any, ...], who: str, what: str) -> tuple[Any, ...]:
    """The gradients after a hook that returned `changed`."""
    count = len(gradients)
    if changed is None:
        return gradients
    if len(changed) != count:  # of a tensor that is not in a tuple its rows count
        raise RuntimeError(f"{who} returned an invalid number of {what}, got {len(changed)}, but expected {count}")
    for each, given in zip(changed, gradients, strict=True):
        if each is not None and not isinstance(each, Tensor):
            raise TypeError(f"expected Variable, but hook returned '{type(each).__name__}'")
        if each is not None and given is not None and each.shape != given.shape:
            raise RuntimeError(
                f"hook 'hook' has changed the size of value: it was {list(given.shape)}, the hook returned {list(each.shape)}; "
                "gradients are returned in a tuple"
            )
    return changed  # type: ignore[no-any-return]  # also a list, as the next hook is shown it


def _watch_last_node(module: Any, own: dict[str, Any], result: Any) -> None:
    """Register the hooks of the older kind on the node that made the output."""
    hooks: list[Any] = []
    if _global_is_full_backward_hook is False:
        hooks += _global_backward_hooks.values()
    if own["_is_full_backward_hook"] is False:
        hooks += own["_backward_hooks"].values()
    if not hooks:
        return
    while not isinstance(result, Tensor):
        values = result.values() if isinstance(result, dict) else result
        result = next(iter(values))
    node = result.grad_fn
    if node is not None:
        warnings.warn(
            "Using a non-full backward hook when the forward contains multiple autograd Nodes is deprecated: it sees "
            "only the inputs of the last of them. Please use register_full_backward_hook.",
            FutureWarning,
        )
        for hook in hooks:
            node.register_hook(functools.partial(hook, module))
