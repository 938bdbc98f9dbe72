"""Mixed precision: which operators `amp.autocast` gives inputs of another dtype, and the casting.

The tables are those of PyTorch's page "Automatic Mixed Precision package" (Autocast Op Reference), by the names of the
public functions. A function that is in no table computes in the dtypes that come to it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..array import dtypes
from ..context.grad_mode import state as grad_state
from ..tape.nodes import AccumulateGrad
from ..tensor.tensor import Tensor

LOWER, FULL, WIDEST, REFUSED = "the lower precision", "float32", "the widest of the inputs", "not safe"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PRODUCTS = """
    addbmm addmm baddbmm bmm chain_matmul conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d einsum
    linear matmul mm multi_dot prelu scaled_dot_product_attention
"""
_LOSSES = """
    binary_cross_entropy_with_logits cdist cosine_embedding_loss cross_entropy hinge_embedding_loss kl_div l1_loss
    margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss prod smooth_l1_loss
    soft_margin_loss triplet_margin_loss
"""
_TABLES = {
    "cpu": {
        LOWER: _names(_PRODUCTS + "corrcoef cov inner matrix_power tensordot vecdot"),
        FULL: _names(
            _LOSSES
            + """
            adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cholesky cholesky_ex
            cholesky_inverse cholesky_solve cond eig eigh eigvals eigvalsh fft fft2 fftn fractional_max_pool2d
            fractional_max_pool3d hfft householder_product huber_loss ifft ifft2 ifftn ihfft inv inv_ex inverse irfft
            irfft2 irfftn lstsq lu lu_factor lu_factor_ex lu_solve matrix_rank max_pool3d max_unpool1d max_unpool2d max_unpool3d
            nanquantile pinv pinverse polar qr quantile reflect_pad replicate_pad rfft rfft2 rfftn solve solve_ex svd
            svdvals tensorinv tensorsolve trace triangular_solve view_as_complex
            """
        ),
        WIDEST: _names("cat index_copy stack"),
        REFUSED: frozenset(),
    },
    "cuda": {
        LOWER: _names(_PRODUCTS + "addmv addr mv"),
        FULL: _names(
            _LOSSES
            + """
            acos asin cosh cosine_similarity cumprod cumsum dist erfinv exp expm1 group_norm layer_norm log log10 log1p
            log2 log_softmax norm normalize pdist pow reciprocal renorm rsqrt sinh softmax softmin softplus sum tan
            """
        ),
        WIDEST: _names("addcdiv addcmul atan2 bilinear cat cross dot index_copy index_put scatter_add stack tensordot"),
        REFUSED: _names("binary_cross_entropy"),
    },
}
_TABLES["tpu"] = _TABLES["cuda"]
_EIGHT_BYTES = dtypes.float64.itemsize


class Policy(NamedTuple):
    """What is cast: the lower precision for each type of device where autocast is on, and whether casts are kept."""

    lower: tuple[tuple[str, Any], ...]
    keeps: bool = True

    @classmethod
    def of(cls, lower: dict[str, Any], keeps: bool) -> Policy | None:
        """The policy for `grad_mode.state.autocast`, the same object for the same choice; None if nothing is on."""
        return _interned(tuple(sorted(lower.items(), key=lambda item: item[0])), keeps) if lower else None


_interned = functools.lru_cache(None)(Policy)


@functools.lru_cache(None)
def rule(policy: Policy, name: str) -> dict[str, str] | None:
    """By type of device, what a function's inputs become; None if it computes in the dtypes that come."""
    rules = {
        device: kind for device, _ in policy.lower for kind, names in _TABLES[device].items() if name in names
    }  # fmt: skip
    return rules or None


# --- casts that are kept ---------------------------------------------------------------------------------------------


class _Kept(threading.local):
    """The casts of parameters since the outermost `autocast` was entered, so that each is made once."""

    def __init__(self) -> None:
        self.nesting = 0
        self.casts: dict[tuple[int, Any], tuple[Tensor, Any, Tensor]] = {}


kept = _Kept()


def _cast(tensor: Tensor, target: Any, keep: bool) -> Tensor:
    """The tensor in this dtype, recorded on the tape; a parameter's, if `keep`, is made once and lives on."""
    edge = tensor._edge
    if not keep or edge is None or type(edge[0]) is not AccumulateGrad or tensor._view is not None:
        return tensor.to(target)
    if grad_state.trace is not None or grad_state.transforms:
        return tensor.to(target)  # XLA makes one of several; and nothing may outlive the trace
    held = kept.casts.get((id(tensor), target))
    value = tensor._storage.value
    if held is None or held[1] is not value or (grad_state.grad and held[2]._edge is None):
        held = kept.casts[id(tensor), target] = (tensor, value, tensor.to(target))
    return held[2]


# --- casting the arguments of a call ---------------------------------------------------------------------------------


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif type(value) in (tuple, list):
            found += _tensors(value)
    return found


def _is_eligible(tensor: Tensor, device: str) -> bool:
    dtype = tensor.dtype
    return dtype.is_floating_point and dtype.itemsize < _EIGHT_BYTES and tensor.device.type == device


def _replaced(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    return type(value)([_replaced(v, change) for v in value]) if type(value) in (tuple, list) else value


def call(policy: Policy, rules: dict[str, str], function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function that has a rule, its inputs cast by it, and autocast off inside. `out=` is computed as it comes."""
    try:
        if "out" not in kwargs:
            tensors = _tensors((*args, *kwargs.values()))
            device = tensors[0].device.type if tensors else ""
            if device in rules:
                args, kwargs = _prepared(policy, rules[device], function, device, tensors, args, kwargs)
        grad_state.autocast = None
        return function(*args, **kwargs)
    finally:
        grad_state.autocast = policy


def _prepared(
    policy: Policy, kind: str, function: Callable[..., Any], device: str, tensors: list[Tensor], args: Any, kwargs: Any
) -> tuple[Any, Any]:
    if kind is REFUSED:
        raise RuntimeError(
            f"{function.__name__} is not safe under autocast on {device!r}: in the lower precision its logarithm overflows. "
            "Give logits to binary_cross_entropy_with_logits (or BCEWithLogitsLoss), which is, or switch autocast off here"
        )
    target = dict(policy.lower)[device] if kind is LOWER else dtypes.float32
    if kind is WIDEST:
        widest = max((t.dtype.itemsize for t in tensors if _is_eligible(t, device)), default=0)
        if widest < dtypes.float32.itemsize:
            return args, kwargs
    keep = kind is LOWER and policy.keeps

    def change(tensor: Tensor) -> Tensor:
        if tensor.dtype is target or not _is_eligible(tensor, device):
            return tensor
        return _cast(tensor, target, keep and tensor.dtype is dtypes.float32)

    return tuple(_replaced(a, change) for a in args), {k: _replaced(v, change) for k, v in kwargs.items()}


def lowered(tensor: Tensor) -> Tensor:
    """The tensor as a product takes it here and now, for a function that has some of its arguments cast, not all."""
    policy = grad_state.autocast
    target = None if policy is None else dict(policy.lower).get(tensor.device.type)
    if policy is None or target is None or tensor.dtype is target or not _is_eligible(tensor, tensor.device.type):
        return tensor
    return _cast(tensor, target, policy.keeps and tensor.dtype is dtypes.float32)


__all__ = ["FULL", "LOWER", "REFUSED", "WIDEST", "Policy", "call", "kept", "lowered", "rule"]
