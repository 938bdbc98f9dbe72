"""Modules whose activations are computed again on the way back, as a wrapper."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from ....nn import Module
from ....utils.checkpoint import checkpoint
from ... import _later
from ..._holder import Holder, inner_names, outer_names


class CheckpointImpl(Enum):
    """How: with `use_reentrant` or without."""

    REENTRANT = auto()
    NO_REENTRANT = auto()


class CheckpointWrapper(Holder):
    """A module that is run through `torch.utils.checkpoint.checkpoint`. Its state dict has the module's own names."""

    _held = "_checkpoint_wrapped_module"

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
        self._register_state_dict_hook(outer_names)
        self.register_load_state_dict_pre_hook(inner_names)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        if self._function is not None:
            return self._function(self._checkpoint_wrapped_module, *args, **self._options, **kwargs)
        reentrant = self.checkpoint_impl is CheckpointImpl.REENTRANT
        return checkpoint(self._checkpoint_wrapped_module, *args, use_reentrant=reentrant, **self._options, **kwargs)


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
