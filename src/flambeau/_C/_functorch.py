"""`torch._C._functorch`: what packages ask about tensors inside transforms. There are no wrapped tensors here: values are tracers."""

from __future__ import annotations

from typing import Any, NoReturn

from ..core.context.grad_mode import state
from ..core.tensor.tensor import Tensor
from ..func.lent import add_batch_dim, remove_batch_dim


def is_batchedtensor(tensor: Tensor) -> bool:
    """Whether a tensor is one sample of a batch, inside `vmap`."""
    return bool(state.transforms) and "Batch" in type(tensor._array).__name__


def is_legacy_batchedtensor(tensor: Tensor) -> bool:
    """False: there was one kind of `vmap` only."""
    return False


def is_gradtrackingtensor(tensor: Tensor) -> bool:
    """Whether a transform that takes gradients is at work on a tensor that needs one."""
    return bool(state.transforms) and tensor.requires_grad


def is_functorch_wrapped_tensor(tensor: Tensor) -> bool:
    """Whether a tensor belongs to a transform."""
    return is_batchedtensor(tensor) or is_gradtrackingtensor(tensor)


def _refused(name: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"torch._C._functorch.{name}: tensors are not wrapped in transforms here: use torch.func.vmap and torch.func.grad"
        )

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = "Refused: tensors are not wrapped in transforms here."
    return refused


_add_batch_dim, _remove_batch_dim = add_batch_dim, remove_batch_dim
_vmap_increment_nesting = _refused("_vmap_increment_nesting")
_vmap_decrement_nesting = _refused("_vmap_decrement_nesting")
get_unwrapped = _refused("get_unwrapped")
maybe_get_bdim = _refused("maybe_get_bdim")
