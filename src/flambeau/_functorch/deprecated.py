"""What `functorch` had before it became `torch.func`: the same, with a warning of its new name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .. import func
from . import make_functional as _modules

__all__ = [
    "combine_state_for_ensemble", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp",
    "make_functional", "make_functional_with_buffers", "vjp", "vmap",
]  # fmt: skip


def _by_its_old_name(function: Callable[..., Any], now: str) -> Callable[..., Any]:
    name = function.__name__
    text = (
        "We've integrated functorch into PyTorch. As the final step of the integration, "
        f"`functorch.{name}` is deprecated as of PyTorch 2.0 and will be deleted in a future version of PyTorch >= 2.3. "
        f"Please use `{now}` instead; see the PyTorch 2.0 release notes and/or the `torch.func` "
        "migration guide for more details https://pytorch.org/docs/main/func.migrating.html"
    )

    @functools.wraps(function)
    def warned(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(text, FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    warned.__module__ = __name__
    return warned


vmap: Callable[..., Any] = _by_its_old_name(func.vmap, "torch.vmap")
grad: Callable[..., Any] = _by_its_old_name(func.grad, "torch.func.grad")
grad_and_value: Callable[..., Any] = _by_its_old_name(func.grad_and_value, "torch.func.grad_and_value")
vjp: Callable[..., Any] = _by_its_old_name(func.vjp, "torch.func.vjp")
jvp: Callable[..., Any] = _by_its_old_name(func.jvp, "torch.func.jvp")
jacrev: Callable[..., Any] = _by_its_old_name(func.jacrev, "torch.func.jacrev")
jacfwd: Callable[..., Any] = _by_its_old_name(func.jacfwd, "torch.func.jacfwd")
hessian: Callable[..., Any] = _by_its_old_name(func.hessian, "torch.func.hessian")
functionalize: Callable[..., Any] = _by_its_old_name(func.functionalize, "torch.func.functionalize")
make_functional: Callable[..., Any] = _by_its_old_name(_modules.make_functional, "torch.func.functional_call")
make_functional_with_buffers: Callable[..., Any] = _by_its_old_name(
    _modules.make_functional_with_buffers, "torch.func.functional_call"
)
combine_state_for_ensemble: Callable[..., Any] = _by_its_old_name(
    _modules.combine_state_for_ensemble, "torch.func.stack_module_state"
)
