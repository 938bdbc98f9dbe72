"""`ctc_loss` against PyTorch, and against the sum over all alignments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.nn.functional as ours_f
from support.rows import agree, refuse
from support.values import same, to_flambeau

BEFORE = "F = t.nn.functional; x = f(6, 3, 4).log_softmax(2); y = i([[1, 2, 2], [1, 1, 3], [3, 2, 1]]); "
LENGTHS = "a = i([6, 5, 4]); b = i([3, 2, 0]); "

ROWS = [
    "F.ctc_loss(x, y, a, b)",
    "F.ctc_loss(x, y, a, b, reduction='sum')",
    "F.ctc_loss(x, y, a, b, reduction='none')",
    "F.ctc_loss(x, y.clamp(max=2), a, b, 3, 'none', True)",
    "F.ctc_loss(x, y, (6, 5, 4), (3, 2, 0))",
    "F.ctc_loss(x, y.int(), a.int(), b.short())",
    "F.ctc_loss(x, i([1, 2, 2, 1, 1]), a, b, reduction='none')",
    "F.ctc_loss(x, i([1, 2, 2, 1, 1]), [6, 5, 4], [3, 2, 0])",
    "F.ctc_loss(x, i([]), a, 0 * b, reduction='none')",
    "F.ctc_loss(x, y[:, :0], a, 0 * b, reduction='none')",
    "F.ctc_loss(x, y, i([0, 5, 0]), b, reduction='none')",
    "F.ctc_loss(x, y, i([2, 2, 2]), i([3, 3, 1]), reduction='none')",  # no alignment: inf and nan
    "F.ctc_loss(x, y, i([2, 2, 2]), i([3, 3, 1]), zero_infinity=True)",
    "F.ctc_loss(x * 0 + float('inf'), y, a, b, reduction='none')",
    "F.ctc_loss(x[:, 0], y[0], i(6), i(3))",
    "F.ctc_loss(x[:, 0], y[0], (6,), (3,), reduction='none')",
    "F.ctc_loss(x[:, 0], y[:1], (6,), (3,), reduction='sum')",
    "t.nn.CTCLoss(blank=0, reduction='sum', zero_infinity=True)(x, y, a, b)",
]


@pytest.mark.parametrize("row", ROWS)
def test_rows(row: str) -> None:
    agree(BEFORE + LENGTHS + row)


REFUSED = [
    "F.ctc_loss(x, y, a, (3, 2, 0))",
    "F.ctc_loss(x, y, 6, 3)",
    "F.ctc_loss(x, y, (6.0, 5.0, 4.0), (3, 2, 0))",
    "F.ctc_loss(x, y, a.double(), b)",
    "F.ctc_loss(x, y, a, b.double())",
    "F.ctc_loss(x, y, a + 1, b)",
    "F.ctc_loss(x, y, a - 7, b)",
    "F.ctc_loss(x, y, a, b - 4)",
    "F.ctc_loss(x, y, a, b + 1)",
    "F.ctc_loss(x, y, a[:2], b)",
    "F.ctc_loss(x, y, a, b[:2])",
    "F.ctc_loss(x, y[:2], a, b)",
    "F.ctc_loss(x, y[None], a, b)",
    "F.ctc_loss(x, i([1, 2, 2]), a, b)",
    "F.ctc_loss(x, i([1, 2, 2, 1, 1, 3]), a, b)",
    "F.ctc_loss(x[None], y, a, b)",
    "F.ctc_loss(x[:0], y, 0 * a, b)",
    "F.ctc_loss(x, y, a, b, blank=4)",
    "F.ctc_loss(x, y, a, b, blank=-1)",
    "F.ctc_loss(x, y, a, b, reduction='foo')",
    "F.ctc_loss(x.half(), y, a, b)",
    "F.ctc_loss(x.long(), y, a, b)",
    "g, = t.autograd.grad(F.ctc_loss(x, y, a, b), x, create_graph=True); t.autograd.grad(g.sum(), x)",
]


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row: str) -> None:
    refuse("~ " + BEFORE + LENGTHS + row)


def test_labels_that_are_no_classes_are_refused_within_the_lengths() -> None:
    x = fb.zeros(4, 1, 3).log_softmax(2)
    with pytest.raises(RuntimeError, match="label 3 is out of range: there are 3 classes"):
        ours_f.ctc_loss(x, fb.tensor([[1, 3]]), (4,), (2,))
    assert ours_f.ctc_loss(x, fb.tensor([[1, 3]]), (4,), (1,)).isfinite()


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 2], [2, 1, 2]])
def test_the_sum_over_alignments(labels: list[int]) -> None:
    log_p = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).log_softmax(1)
    total = 0.0
    for path in itertools.product(range(3), repeat=5):
        if [k for k, _ in itertools.groupby(path) if k] == labels:
            total += math.exp(sum(log_p[step, label].item() for step, label in enumerate(path)))
    made = ours_f.ctc_loss(to_flambeau(log_p), fb.tensor(labels, dtype=fb.int64), (5,), (len(labels),), reduction="sum")
    np.testing.assert_allclose(made.item(), -math.log(total), rtol=1e-10)


def test_compiled_and_mapped() -> None:
    torch.manual_seed(2)
    x, y = torch.randn(6, 2, 4, dtype=torch.float64).log_softmax(2), torch.tensor([[1, 2], [3, 3]])
    lengths = torch.tensor([6, 5]), torch.tensor([2, 1])
    expected = torch.nn.functional.ctc_loss(x, y, *lengths)
    compiled = fb.compile(ours_f.ctc_loss)
    ours = to_flambeau([x, y, *lengths])
    for _ in range(2):
        same(compiled(*ours), expected)
    same(compiled(ours[0], fb.tensor([1, 2, 3]), *ours[2:]), expected)
    with pytest.raises(RuntimeError, match="Expected input_lengths to have value at most 6, but got value 7"):
        compiled(*ours[:2], ours[2] + 1, ours[3])
    mapped = fb.func.vmap(lambda logs: ours_f.ctc_loss(logs, *ours[1:]))(fb.stack([ours[0], ours[0]]))
    same(mapped, torch.stack([expected, expected]))
