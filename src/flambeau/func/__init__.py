"""Transforms of functions of Tensors: derivatives, mapping over batches, modules as functions."""

from ..core.dispatch.help import explain_functions as _explain
from .batching import vmap as vmap
from .forward import hessian as hessian
from .forward import jacfwd as jacfwd
from .forward import jvp as jvp
from .forward import linearize as linearize
from .modules import functional_call as functional_call
from .modules import functionalize as functionalize
from .modules import replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_
from .modules import stack_module_state as stack_module_state
from .rearranging import debug_unwrap as debug_unwrap
from .rearranging import rearrange as rearrange
from .reverse import grad as grad
from .reverse import grad_and_value as grad_and_value
from .reverse import jacrev as jacrev
from .reverse import vjp as vjp

__all__ = """
    debug_unwrap functional_call functionalize grad grad_and_value hessian jacfwd jacrev jvp linearize
    rearrange replace_all_batch_norm_modules_ stack_module_state vjp vmap
""".split()


_explain(
    [
        *(debug_unwrap, functional_call, functionalize, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize),
        *(replace_all_batch_norm_modules_, stack_module_state, vjp),
    ],
    "torch.func",
)
_explain([vmap], "torch")
