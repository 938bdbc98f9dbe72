"""Comparing with real PyTorch: conversions, and tolerances that follow from the dtype."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import torch

import flambeau as fb
from flambeau.core.tensor.tensor import Tensor, wrap

# (relative, absolute) by dtype name
TOLERANCES = {
    "float16": (2e-3, 1e-3),
    "bfloat16": (1.6e-2, 1e-2),
    "float32": (1e-5, 1e-6),
    "float64": (1e-10, 1e-12),
    "complex64": (1e-5, 1e-6),
    "complex128": (1e-10, 1e-12),
}


def to_flambeau(value: Any, requires_grad: bool | None = None) -> Any:
    """A flambeau tensor with a torch tensor's values, dtype and requires_grad; containers are walked through."""
    if isinstance(value, torch.Tensor) and value.is_sparse:
        parts = to_flambeau((value._indices(), value._values()), False)
        made = fb.sparse_coo_tensor(*parts, tuple(value.shape), is_coalesced=value.is_coalesced())
        return made.requires_grad_(value.requires_grad if requires_grad is None else requires_grad)
    if isinstance(value, torch.Tensor):
        plain = value.detach().resolve_conj().resolve_neg()
        if plain.dtype is torch.bfloat16:
            array = jax.numpy.asarray(plain.float().numpy()).astype(jax.numpy.bfloat16)
        else:
            array = jax.device_put(np.array(plain.contiguous().numpy()))
        made = wrap(array)
        if value.requires_grad if requires_grad is None else requires_grad:
            made.requires_grad_()
        return made
    if isinstance(value, torch.dtype):
        return getattr(fb, str(value)[6:])
    if isinstance(value, torch.Size):
        return fb.Size(value)
    if isinstance(value, torch.device):
        return fb.device(str(value))
    if isinstance(value, dict):
        return type(value)((k, to_flambeau(v, requires_grad)) for k, v in value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_flambeau(v, requires_grad) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(to_flambeau(v, requires_grad) for v in value)
    return value


def array(value: Any) -> np.ndarray:
    """The values of a tensor of either library; bfloat16 as float32."""
    if isinstance(value, Tensor):
        value = np.asarray(value.detach()._array)
        return value.astype(np.float32) if value.dtype.kind == "V" or value.dtype.name == "bfloat16" else value
    value = value.detach().resolve_conj().resolve_neg()
    return (value.float() if value.dtype is torch.bfloat16 else value).numpy(
        force=True
    )  # of zeros that are not stored, too


def same(ours: Any, theirs: Any, *, rtol: float | None = None, atol: float | None = None) -> None:
    """Assert equal structure, shape, dtype and values within the dtype's tolerance (exact for ints and bools)."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, Tensor), f"expected a tensor, got {type(ours).__name__}"
        assert tuple(ours.shape) == tuple(theirs.shape), f"shape {tuple(ours.shape)}, torch has {tuple(theirs.shape)}"
        name = str(theirs.dtype)[6:]
        assert ours.dtype.name == name, f"dtype {ours.dtype}, torch has {theirs.dtype}"
        assert str(ours.layout) == str(theirs.layout), f"layout {ours.layout}, torch has {theirs.layout}"
        if theirs.layout is torch.sparse_coo:
            assert ours.is_coalesced() == theirs.is_coalesced()
            same(
                (ours._indices(), ours._values()), (theirs._indices(), theirs._values().detach()), rtol=rtol, atol=atol
            )
            return
        if theirs.layout is torch.sparse_csr:
            for part in ("crow_indices", "col_indices", "values"):
                same(getattr(ours, part)(), getattr(theirs, part)(), rtol=rtol, atol=atol)
            return
        relative, absolute = TOLERANCES.get(name, (0, 0))
        np.testing.assert_allclose(
            array(ours),
            array(theirs),
            rtol=relative if rtol is None else rtol,
            atol=absolute if atol is None else atol,
            equal_nan=True,
        )
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key], rtol=rtol, atol=atol)
    elif isinstance(theirs, (list, tuple)):
        assert isinstance(ours, (list, tuple)) and len(ours) == len(theirs), (ours, theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b, rtol=rtol, atol=atol)
    elif isinstance(theirs, (torch.dtype, torch.device)):
        assert str(ours) == str(theirs)
    elif isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6 if rtol is None else rtol, equal_nan=True)
    else:
        assert ours == theirs, (ours, theirs)
