"""Padding sequences of different lengths."""

from __future__ import annotations

import pytest
import torch

import flambeau as fb
from support.values import same, to_flambeau


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tail", [(), (2,)])
def test_pad(batch_first: bool, side: str, tail: tuple[int, ...]) -> None:
    rows = [torch.randn(n, *tail) for n in (2, 4, 1)]
    expected = torch.nn.utils.rnn.pad_sequence(rows, batch_first, -1.0, side)
    got = fb.nn.utils.rnn.pad_sequence([to_flambeau(r) for r in rows], batch_first, -1.0, side)
    same(got, expected)
    if side == "right":
        same(fb.nn.utils.rnn.unpad_sequence(got, fb.tensor([2, 4, 1]), batch_first), rows)


def test_errors() -> None:
    for given in ([], [fb.ones(2, 3), fb.ones(2, 4)]):
        with pytest.raises(RuntimeError):
            fb.nn.utils.rnn.pad_sequence(given)
