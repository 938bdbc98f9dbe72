"""Modules made without initialising their parameters."""

from __future__ import annotations

import inspect
from typing import Any

from ..modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """`module_cls(*args, **kwargs)` with arbitrary values in its parameters and buffers, drawing no random numbers.

    RuntimeError if the class is no Module or takes no `device` argument (which here means only that it should).
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(
            f"Module must support a 'device' arg to skip initialization: {module_cls.__name__}.__init__ has none"
        )
    from ...core.context.generator import default_generator

    generator: Any = default_generator
    state = generator.get_state()
    made = module_cls(*args, **kwargs)
    generator.set_state(state)
    return made
