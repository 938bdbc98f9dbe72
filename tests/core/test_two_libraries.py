"""Tensors of this library in PyTorch's own functions: refused by name, in place of an endless exchange of questions."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb


@pytest.mark.parametrize("function", [torch.sin, torch.add, torch.nn.functional.gelu, torch.nn.functional.relu])
def test_pytorchs_functions_refuse_our_tensors(function) -> None:
    with pytest.raises(TypeError, match=r"PyTorch's own got a flambeau\.Tensor"):
        function(fb.ones(2), fb.ones(2)) if function is torch.add else function(fb.ones(2))
