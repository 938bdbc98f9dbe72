"""`torch.cond`: one of two functions, by a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ..core.context.overrides import handle_torch_function, has_torch_function
from ..core.dispatch.help import explain_functions as _explain_functions
from ..core.tensor.tensor import Tensor
from ..core.tensor.tree import unflatten
from ._staged import is_traced, on_arrays, same_structure, staged, tensors_only


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    """`true_fn(*operands)` if `pred` holds, else `false_fn(*operands)`. In a compiled function only that one is computed.

    Raises RuntimeError for a condition of more than one element, branches that are no functions, operands that are no
    tensors; in a compiled function also for results of different structures, shapes or dtypes.
    """
    if has_torch_function((pred,)):  # a mode, or a proxy
        return handle_torch_function(cond, (pred,), pred, true_fn, false_fn, operands)
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not isinstance(pred, (bool, int, float, Tensor)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if not (callable(true_fn) and callable(false_fn)):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(
            "Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, but got "
            f"{operands}."
        )
    tensors, spec = tensors_only("Expect operands", tuple(operands))
    if not isinstance(pred, Tensor) or not is_traced():
        return (true_fn if pred else false_fn)(*operands)
    told: list[Any] = []
    branches = [on_arrays(f, spec, told) for f in (true_fn, false_fn)]

    def body(condition: Any, *arrays: Any) -> Any:
        try:
            return jax.lax.cond(condition.reshape(()).astype(bool), *branches, list(arrays))
        except TypeError as error:
            raise RuntimeError(
                f"torch.cond: expected branches with the same structure, shapes and dtypes: {error}"
            ) from None

    made = staged("Cond", body, [pred.detach(), *tensors])
    same_structure("torch.cond", told[0], told[1])
    return unflatten(made, told[0])


__all__ = ["cond"]

_explain_functions([cond], "torch")
