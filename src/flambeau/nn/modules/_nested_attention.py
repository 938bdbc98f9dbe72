"""Which calls of `MultiheadAttention` may have nested tensors: those that PyTorch's fast path takes."""

from __future__ import annotations

from typing import Any

from ...core.array import formats
from ...core.context.grad_mode import state

NAME, SAME, QUERY = "MultiheadAttention", "query, key, and value", "query.dim()"  # in texts of errors
MASKS = "supplying both src_key_padding_mask and src_mask at the same time"


def _reason(layer: Any, query: Any, key: Any, value: Any, masked: bool) -> str | None:
    """Why the fast path is not there for a call, in PyTorch's words and its order; None if it is."""
    weight = layer.in_proj_weight
    asks = state.grad and any(t.requires_grad for t in (query, key, value, *layer.parameters()))
    reasons = (
        (query.dim() != 3, f"input not batched; expected {QUERY} of 3 but got {query.dim()}"),
        (query is not key or key is not value, f"non-self attention was used ({SAME} are not the same Tensor)"),
        (weight is None, "in_proj_weight was None"),
        (layer.training, "training is enabled"),
        (layer.num_heads % 2 == 1, "self.num_heads is not even"),
        (not layer.batch_first, "batch_first was not True"),
        (layer.bias_k is not None, "self.bias_k was not None"),
        (layer.bias_v is not None, "self.bias_v was not None"),
        (layer.add_zero_attn, "add_zero_attn was enabled"),
        (masked, f"{MASKS}{' ' * 33} is not supported with NestedTensor input"),
        (query.layout is formats.jagged, "some Tensor argument has_torch_function"),
        (
            asks,
            "grad is enabled and at least one of query or the input/output projection weights or biases requires_grad",
        ),
        (weight is not None and layer.in_proj_bias is None, " (in_proj_bias is None)"),
    )  # fmt: skip
    return next((text for failed, text in reasons if failed), None)


def check(layer: Any, query: Any, key: Any, value: Any, masked: bool) -> None:
    """Raises AssertionError for a call with nested tensors that PyTorch refuses."""
    reason = _reason(layer, query, key, value, masked)
    if reason is not None:
        raise AssertionError(
            f"{NAME} does not support NestedTensor outside of its fast path. "
            f"The fast path was not hit because {reason} (use F.scaled_dot_product_attention, or to_padded_tensor)"
        )
