"""The old types of sparse tensors on a GPU. As in PyTorch, they are no longer made by their types."""

from __future__ import annotations

from ..runtime.absent import refused_class

for _kind in "BFloat16 Byte Char Double Float Half Int Long Short".split():
    _name = f"{_kind}Tensor"
    _made = refused_class(_name, f"torch.cuda.sparse.{_name}: use torch.sparse_coo_tensor(..., device='cuda')")
    _made.__module__ = "torch.cuda.sparse"
    globals()[_name] = _made
