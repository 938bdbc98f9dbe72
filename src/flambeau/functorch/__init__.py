"""`functorch`, the package that PyTorch's distribution has beside `torch`: function transforms by their old names."""

from typing import TYPE_CHECKING, Any

from .. import __version__ as __version__
from .._functorch.deprecated import (
    combine_state_for_ensemble,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    make_functional,
    make_functional_with_buffers,
    vjp,
    vmap,
)
from .._functorch.make_functional import FunctionalModule, FunctionalModuleWithBuffers

__all__ = [
    "FunctionalModule", "FunctionalModuleWithBuffers", "combine_state_for_ensemble", "functionalize", "grad",
    "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "make_functional", "make_functional_with_buffers", "vjp",
    "vmap",
]  # fmt: skip


if TYPE_CHECKING:
    from ..fx.experimental.proxy_tensor import make_fx as make_fx
else:

    def __getattr__(name: str) -> Any:
        if name == "make_fx":  # which brings all of torch.fx
            from ..fx.experimental.proxy_tensor import make_fx

            return make_fx
        raise AttributeError(f"functorch has no attribute {name!r}")
