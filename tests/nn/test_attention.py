"""scaled_dot_product_attention against PyTorch's, with its gradients and its refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import flambeau as fb
from support.values import same, to_flambeau

CASES: dict[str, Any] = {
    "plain": ((2, 3, 4, 8), (2, 3, 5, 8), (2, 3, 5, 6), {}),
    "two_dims": ((4, 8), (5, 8), (5, 8), {}),
    "causal": ((2, 4, 8), (2, 4, 8), (2, 4, 8), {"is_causal": True}),
    "causal_wide": ((2, 3, 8), (2, 5, 8), (2, 5, 8), {"is_causal": True, "scale": 0.3}),
    "shared_heads": ((2, 4, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8), {"enable_gqa": True}),
    "added": ((2, 2, 4, 8), (2, 2, 4, 8), (2, 2, 4, 8), {"attn_mask": "float"}),
    "mask": ((2, 2, 4, 8), (2, 2, 4, 8), (2, 2, 4, 8), {"attn_mask": "bool"}),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case: str) -> None:
    torch.manual_seed(0)
    *shapes, options = CASES[case]
    theirs = [torch.randn(s, requires_grad=True) for s in shapes]
    if options.get("attn_mask") == "float":
        options = {"attn_mask": torch.randn(4, 4)}
    elif options.get("attn_mask") == "bool":
        options = {"attn_mask": torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]]).bool()}
    ours = [to_flambeau(t) for t in theirs]
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, **options)
    got = fb.nn.functional.scaled_dot_product_attention(*ours, **{k: to_flambeau(v) for k, v in options.items()})
    same(got, expected, rtol=1e-4, atol=1e-5)
    expected.square().sum().backward()
    got.square().sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        same(a.grad, b.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "key", "options"),
    [
        ((3,), (3,), {}),
        ((2, 3, 4), (2, 3, 2), {}),
        ((2, 3, 4), (2, 3, 4), {"attn_mask": torch.ones(3, 3), "is_causal": True}),
        ((2, 3, 4), (2, 3, 4), {"attn_mask": torch.ones(3, 3, dtype=torch.int32)}),
        ((2, 3, 4), (2, 3, 4), {"dropout_p": 2.0}),
        ((2, 4, 5, 8), (2, 3, 5, 8), {"enable_gqa": True}),
    ],
)
def test_errors(query: Any, key: Any, options: Any) -> None:
    q, k = torch.ones(query), torch.ones(key)
    with pytest.raises(RuntimeError):
        torch.nn.functional.scaled_dot_product_attention(q, k, k, **options)
    with pytest.raises(RuntimeError):
        fb.nn.functional.scaled_dot_product_attention(
            *map(to_flambeau, (q, k, k)), **{n: to_flambeau(v) for n, v in options.items()}
        )


def test_dropout() -> None:
    value = fb.eye(64)
    kept = fb.nn.functional.scaled_dot_product_attention(fb.zeros(64, 8), fb.zeros(64, 8), value, dropout_p=0.25)
    assert abs((kept == 0).float().mean().item() - 0.25) < 0.05
    assert fb.allclose(kept[kept != 0], fb.tensor(1 / 64 / 0.75))


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"mask": True}, {"mask": True, "is_causal": True}])
def test_rows_at_a_time(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are made for some rows of queries at a time give what all of them together give, and its gradients."""
    from flambeau.ops.layers import attention

    def computed(block: int) -> list[Any]:
        monkeypatch.setattr(attention, "BLOCK", block)
        attention._attention.operator.programs.clear()
        fb.manual_seed(0)
        leaves = [fb.randn(2, 3, n, 4, dtype=fb.float64, requires_grad=True) for n in (7, 5, 5)]
        mask = fb.randn(2, 1, 7, 5, dtype=fb.float64) if "mask" in options else None
        out = fb.nn.functional.scaled_dot_product_attention(*leaves, mask, is_causal="is_causal" in options)
        first = fb.autograd.grad(out.square().sum(), leaves, create_graph=True)
        return [out, *first, *fb.autograd.grad(sum(g.square().sum() for g in first), leaves)]

    whole = computed(2**22)
    for block in (1, 90):
        assert all(fb.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(computed(block), whole, strict=True))
    attention._attention.operator.programs.clear()
