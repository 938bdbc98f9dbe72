"""Activation checkpointing without a wrapper."""

from __future__ import annotations

import functools
from typing import Any

from ...nn import Module
from ...utils.checkpoint import checkpoint as through


def checkpoint(module: Module, **kwargs: Any) -> Module:
    """Have a module compute its activations again on the way back; the other arguments are those of `torch.utils.checkpoint.checkpoint`.

    NotImplementedError with `use_reentrant=True`, which a module without a wrapper can't have.
    """
    if kwargs.pop("use_reentrant", False):
        raise NotImplementedError(
            "use_reentrant=True is not supported in composable checkpoint. Please use torch.utils.checkpoint.checkpoint instead."
        )
    forward = module.forward

    @functools.wraps(forward)
    def again(*args: Any, **named: Any) -> Any:
        return through(forward, *args, use_reentrant=False, **kwargs, **named)

    object.__setattr__(module, "forward", again)
    return module
