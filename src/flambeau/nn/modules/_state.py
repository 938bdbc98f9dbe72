"""State dicts: a module's parameters and buffers by name, taken out and put back."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ...core.autograd.engine import RemovableHandle
from ...core.context.grad_mode import no_grad
from ...core.context.overrides import dispatching
from ...core.tensor.swapping import swap_tensors
from ...core.tensor.tensor import Tensor
from ..parameter import Parameter, is_lazy
from ._conversion import manner
from ._hooks import Table, _WrappedHook, add
from ._load_report import _IncompatibleKeys, explained, not_a_mapping

EXTRA_STATE = "_extra_state"


class StateMethods:
    """The methods of Module that have to do with state dicts."""

    _version: int = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: Table
    _state_dict_pre_hooks: Table
    _load_state_dict_pre_hooks: Table
    _load_state_dict_post_hooks: Table

    # --- what a module may override -----------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """Whatever else belongs into the state dict; override it together with `set_extra_state`."""
        raise RuntimeError(
            f"Reached a code path in Module.get_extra_state() that should never be called. ({type(self).__name__} has no "
            "extra state: override get_extra_state() to give it one.)"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(
            f"Reached a code path in Module.set_extra_state() that should never be called. ({type(self).__name__} has no "
            "extra state: override set_extra_state() to take it back.)"
        )

    def _own_state(self) -> dict[str, Any]:
        """Parameters and persistent buffers of this module alone, by name."""
        state = {name: p for name, p in self._parameters.items() if p is not None}
        skipped = self._non_persistent_buffers_set
        state.update((name, b) for name, b in self._buffers.items() if b is not None and name not in skipped)
        return state

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put the state of this module alone into `destination`."""
        for name, tensor in self._own_state().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not StateMethods.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Load this module's own part of `state_dict`, whose keys start with `prefix`; report in the three lists.

        `local_metadata` holds the `version` that the module had when it was saved.
        """
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = self._own_state()
        for name, tensor in own.items():
            key = prefix + name
            if key in state_dict:
                problem = _load_tensor(self, name, tensor, state_dict[key], key, assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        extra_key = prefix + EXTRA_STATE
        takes_extra = type(self).set_extra_state is not StateMethods.set_extra_state
        if extra_key in state_dict:
            if takes_extra:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                unexpected_keys.append(extra_key)
        elif takes_extra and strict:
            missing_keys.append(extra_key)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    head, *rest = key[len(prefix) :].split(".", 1)
                    if head not in (self._modules if rest else own):
                        unexpected_keys.append(key)

    # --- taking it out ------------------------------------------------------------------------------------------------

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by name; they share memory with the module's.

        They are detached from autograd unless `keep_vars` is set.
        """
        if args:
            warnings.warn(
                "Positional arguments of state_dict() are deprecated: use destination=, prefix= and keep_vars=.",
                FutureWarning,
                stacklevel=2,
            )
            given: Any = (*args, *(destination, prefix, keep_vars)[len(args) :])
            destination, prefix, keep_vars = given
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            returned = hook(self, destination, prefix, metadata)
            if returned is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = returned
        return destination

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's state is taken."""
        return add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` afterwards; it may change the dict in place."""
        marked = functools.partial(hook)
        marked._from_public_api = True  # type: ignore[attr-defined]
        return add(self._state_dict_hooks, marked)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As `register_state_dict_post_hook`; on the module asked for its state, the hook may return another dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("this hook was registered with register_state_dict_post_hook, and so may return nothing")
        return add(self._state_dict_hooks, hook)

    # --- putting it back ----------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy the values of `state_dict` into the module and its descendants.

        With `assign`, the tensors of `state_dict` take the places of the module's, with the `requires_grad` of those.
        Returns the missing and the unexpected keys. RuntimeError, naming everything that does not fit, if a shape
        differs or, with `strict`, a key is missing or unexpected; what fits has been loaded then.
        """
        if not isinstance(state_dict, Mapping):
            raise not_a_mapping(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        problems: list[str] = []
        versions = getattr(state_dict, "_metadata", None) or {}

        def load(module: Any, part: dict[str, Any], prefix: str) -> None:
            metadata = versions.get(prefix[:-1], {})
            if assign:
                metadata = {**metadata, "assign_to_params_buffers": True}
            module._load_from_state_dict(part, prefix, metadata, True, missing, unexpected, problems)
            for name, child in module._modules.items():
                if child is not None:
                    below = f"{prefix}{name}."
                    load(child, {k: v for k, v in part.items() if k.startswith(below)}, below)
            keys = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                        "values: change the incompatible keys in place."
                    )

        load(self, _copied(state_dict), "")
        report = list(problems)
        if strict and unexpected:
            report.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        if strict and missing:
            report.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if report:
            lines = "\n\t".join(report)
            error = RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{lines}")
            more = explained(self, state_dict, missing, unexpected)
            if more:  # beside the message, which programs may compare
                error.add_note(more)
            raise error
        return _IncompatibleKeys(missing, unexpected)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, *arguments of _load_from_state_dict)` before the module's own part is loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """The same; the hook gets the module only if `with_module` is set."""
        return add(self._load_state_dict_pre_hooks, _WrappedHook(hook, self if with_module else None))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after the module was loaded; it may change the keys in place."""
        return add(self._load_state_dict_post_hooks, hook)


def _copied(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that overridden methods and hooks may change."""
    copy: Any = OrderedDict(state_dict)
    if hasattr(state_dict, "_metadata"):
        copy._metadata = state_dict._metadata
    return copy


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _load_tensor(module: Any, name: str, old: Any, new: Any, key: str, assign: bool) -> str | None:
    """Put `new` into `module.name`, whose value is `old`. Returns what is wrong with it, if anything."""
    if not isinstance(new, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
            f"but received {type(new)}"
        )
    if not is_lazy(old):
        shape = new.shape  # raises if `new` is uninitialized
        if not old.shape and tuple(shape) == (1,):  # scalars were once saved with one dimension
            new = new.detach().reshape(())  # type: ignore[attr-defined]
        elif shape != old.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {shape} from checkpoint, the shape in current "
                f"model is {old.shape}."
            )
    if not assign and not is_lazy(old) and not is_lazy(new) and old.is_meta and not new.is_meta:
        warnings.warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current model, "
            "which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary to their "
            f"corresponding key in the module instead of copying them in place?)",
            stacklevel=2,
        )
    try:
        with no_grad():
            if manner.swap and not is_lazy(old) and not is_lazy(new):
                _swap(old, new, assign)
            elif assign:
                _assign(module, name, old, new)
            elif not is_lazy(new):
                _copy(old, new)
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are {_dimensions(old)} and '
            f"whose dimensions in the checkpoint are {_dimensions(new)}, an exception occurred : {error.args}."
        )
    return None


def _dimensions(tensor: Any) -> Any:
    return "not known yet" if is_lazy(tensor) else tensor.shape


def _swap(old: Any, new: Tensor, assign: bool) -> None:
    """`old` becomes what `new` is, or a copy of it in its own dtype and on its own device."""
    made: Any = new if assign else new.detach().to(old.device, old.dtype, copy=True)  # type: ignore[attr-defined]
    if isinstance(old, Parameter) and not isinstance(made, Parameter):
        made = Parameter(made, old.requires_grad)
    elif made.requires_grad != old.requires_grad:
        made.requires_grad_(old.requires_grad)
    swap_tensors(old, made)


def _assign(module: Any, name: str, old: Any, new: Tensor) -> None:
    if isinstance(old, Parameter):
        if isinstance(new, Parameter):
            new.requires_grad_(old.requires_grad)
        else:
            new = Parameter(new, requires_grad=old.requires_grad)
    setattr(module, name, new)


def _copy(old: Any, new: Tensor) -> None:
    plain = dispatching.isdisjoint((type(old), type(new)))
    if plain and old._np_dtype == new._np_dtype and old.device == new.device:
        old._write(new._array)  # arrays never change, so both may hold the same one
    else:
        old.copy_(new)
