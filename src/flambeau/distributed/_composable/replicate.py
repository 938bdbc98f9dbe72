"""DistributedDataParallel without a wrapper: `replicate(module)` leaves the module, its names and its state dict as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...nn import Module
from ...nn.parallel import DistributedDataParallel

_kinds: dict[type, type] = {}


class DDP:
    """What a module also is after `replicate`."""

    _replicated: DistributedDataParallel

    def set_requires_gradient_sync(self, requires_gradient_sync: bool) -> None:
        """Whether backward passes average gradients from now on; what has come together without is averaged by the next that does."""
        self._replicated.require_backward_grad_sync = requires_gradient_sync

    def register_comm_hook(self, *args: Any, **kwargs: Any) -> None:
        """As that of DistributedDataParallel."""
        self._replicated.register_comm_hook(*args, **kwargs)


def replicate(module: Module, ignored_modules: Iterable[Module] | None = None, **kwargs: Any) -> Any:
    """Average the module's gradients over the processes; the other arguments are those of DistributedDataParallel.

    All processes get the parameters of the first; those of `ignored_modules` are left alone. RuntimeError for a module that is
    replicated already.
    """
    if isinstance(module, DDP):
        raise RuntimeError("Cannot apply `replicate()` on a module that has already been replicated")
    ignored = {id(p) for part in ignored_modules or () for p in part.parameters()}
    if ignored:
        names = [name for name, p in module.named_parameters() if id(p) in ignored]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, names)
    wrapper = DistributedDataParallel(module, **kwargs)
    object.__setattr__(module, "_replicated", wrapper)
    module.register_forward_pre_hook(lambda *_: wrapper._before_forward())
    kind = type(module)
    if kind not in _kinds:
        _kinds[kind] = type(f"DDP{kind.__name__}", (DDP, kind), {})
    module.__class__ = _kinds[kind]
    return module
