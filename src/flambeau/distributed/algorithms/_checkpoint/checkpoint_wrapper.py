"""Modules whose activations are computed again on the way back, as a wrapper."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from ....nn import Module
from ....utils.checkpoint import checkpoint
from ... import _later

_PREFIX = "_checkpoint_wrapped_module"


class CheckpointImpl(Enum):
    """How: with `use_reentrant` or without."""

    REENTRANT = auto()
    NO_REENTRANT = auto()


class CheckpointWrapper(Module):
    """A module that is run through `torch.utils.checkpoint.checkpoint`. Its state dict has the module's own names."""

    def __init__(
        self,
        mod: Module,
        checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
        checkpoint_fn: Callable[..., Any] | None = None,
        **checkpoint_fn_kwargs: Any,
    ):
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self.checkpoint_impl = checkpoint_impl
        self._function, self._options = checkpoint_fn, checkpoint_fn_kwargs
        self._register_state_dict_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(_PREFIX), name)

    def __getitem__(self, key: int) -> Any:
        return self._checkpoint_wrapped_module[key]  # type: ignore[index]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield name.replace(f"{_PREFIX}.", ""), parameter

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        if self._function is not None:
            return self._function(self._checkpoint_wrapped_module, *args, **self._options, **kwargs)
        reentrant = self.checkpoint_impl is CheckpointImpl.REENTRANT
        return checkpoint(self._checkpoint_wrapped_module, *args, use_reentrant=reentrant, **self._options, **kwargs)


def _without_prefix(module: Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name in [n for n in state if n.startswith(f"{prefix}{_PREFIX}.")]:
        state[prefix + name.removeprefix(f"{prefix}{_PREFIX}.")] = state.pop(name)


def _with_prefix(module: Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name in [n for n in state if n.startswith(prefix) and not n.startswith(f"{prefix}{_PREFIX}.")]:
        state[f"{prefix}{_PREFIX}.{name.removeprefix(prefix)}"] = state.pop(name)


def checkpoint_wrapper(
    module: Module,
    checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
    checkpoint_fn: Callable[..., Any] | None = None,
    **checkpoint_fn_kwargs: Any,
) -> Module:
    """The module, wrapped."""
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


def apply_activation_checkpointing(
    model: Module,
    checkpoint_wrapper_fn: Callable[[Module], Module] = checkpoint_wrapper,
    check_fn: Callable[[Module], bool] = lambda _: True,
    auto_wrap_policy: Callable[..., bool] | None = None,
) -> None:
    """Wrap, within a model, the modules of which `check_fn` says so, the innermost first."""
    for name, child in list(model.named_children()):
        apply_activation_checkpointing(child, checkpoint_wrapper_fn, check_fn, auto_wrap_policy)
        wanted = (
            check_fn(child)
            if auto_wrap_policy is None
            else auto_wrap_policy(module=child, recurse=False, nonwrapped_numel=0)
        )
        if wanted and not isinstance(child, CheckpointWrapper):
            setattr(model, name, checkpoint_wrapper_fn(child))


offload_wrapper = _later.function("offload_wrapper", __name__)
