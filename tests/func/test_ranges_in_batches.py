"""Indices out of range under `vmap` are refused as those of one sample are: never is another sample's row read."""

from __future__ import annotations

import pytest

import flambeau as fb
from flambeau.nn import functional as F

CALLS = {
    "index_select": lambda x, i: fb.index_select(x, 0, i),
    "index_copy": lambda x, i: fb.index_copy(x, 0, i, fb.ones(2)),
    "index_fill": lambda x, i: fb.index_fill(x, 0, i, 2.0),
    "embedding": lambda x, i: F.embedding(i, x[:, None]),
    "nll_loss": lambda x, i: F.nll_loss(x.expand(2, 3), i),
    "cross_entropy": lambda x, i: F.cross_entropy(x.expand(2, 3), i),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("index", [5, -9])
def test_the_error_of_one_sample(name, index):
    x, i = fb.ones(2, 3), fb.tensor([[0, index], [1, 0]])
    with pytest.raises(IndexError):
        CALLS[name](x[0], i[0])
    with pytest.raises(IndexError):
        fb.func.vmap(CALLS[name])(x, i)
