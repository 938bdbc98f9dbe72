"""Settings under the names of `torch._dynamo.config`. Of these, `suppress_errors` and `disable` describe what is always so or can
be had otherwise; setting a name that has no meaning here is allowed, as in scripts that set a dozen, and changes nothing."""

from __future__ import annotations

import sys
from typing import Any

from ..utils._contextlib import context_decorator

suppress_errors = True  # a trace that fails runs uncompiled, with a warning
verbose = False
recompile_limit = 8
cache_size_limit = 8
accumulated_recompile_limit = 32
accumulated_cache_size_limit = 32
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
automatic_dynamic_shapes = False
assume_static_by_default = True
dynamic_shapes = False
disable = False
optimize_ddp = False
inline_inbuilt_nn_modules = True
reorderable_logging_functions: set[Any] = set()
skip_fwd_side_effects_in_bwd_under_checkpoint = False


class patch:
    """A context, or a decorator, in which settings are others: `patch("name", value)`, `patch({...})` or `patch(name=value)`."""

    def __init__(self, arg1: Any = None, arg2: Any = None, **kwargs: Any):
        self.changes = {arg1: arg2} if isinstance(arg1, str) else dict(arg1 or kwargs)
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        held = vars(sys.modules[__name__])
        unknown = [name for name in self.changes if name not in held]
        if unknown:
            raise AttributeError(f"torch._dynamo.config.{unknown[0]} does not exist")
        self._before.append({name: held[name] for name in self.changes})
        held.update(self.changes)

    def __exit__(self, *error: object) -> None:
        vars(sys.modules[__name__]).update(self._before.pop())

    def __call__(self, function: Any) -> Any:
        return context_decorator(lambda: self, function)
