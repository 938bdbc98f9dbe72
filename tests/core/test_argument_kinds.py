"""Arguments of kinds that PyTorch's parser refuses: the same exception, whatever flambeau could have made of them."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.core.dispatch import misfits
from support.expressions import evaluate, fb, torch

X, F = "torch.ones(3, 3)", "torch.nn.functional."
I = "torch.zeros(3, 3, dtype=torch.int64)"
NUMBERS_FOR_TENSORS = [
    f"torch.addcmul({X}, 2.0, {X})", f"torch.take({X}, 3)", f"torch.gather(3, 0, {I})", "torch.outer(2.0, torch.ones(3))",
    f"torch.maximum({X}, 2.0)", f"torch.eq(2.0, {X})", f"torch.isclose({X}, 2.0)", f"torch.lerp({X}, 2.0, 0.5)",
    f"{X}.index_select(0, 2)", f"{X}.put_(2, {X})", f"{X}.scatter_(0, 2, {X})", f"{F}hinge_embedding_loss({X}, 2.0)",
    f"{F}soft_margin_loss({X}, 2.0)", f"{F}poisson_nll_loss({X}, 2.0)", "torch.chain_matmul(2.0)",
    "torch.broadcast_tensors(2.0)", "torch.clamp(2.0)", f"{F}dropout(2.0)",
]  # fmt: skip
OTHER_KINDS = [
    f"torch.chunk({X}, True)", f"torch.tile({X}, True)", f"torch.sum({X}, True)", f"torch.sum({X}, [True])",
    f"torch.movedim({X}, 3, 'a')", f"torch.as_strided({X}, 3)", f"torch.transpose({X}, 2.0, 1)", f"torch.flip({X}, 0)",
    f"torch.reshape({X}, 9)", f"torch.permute({X}, (0, 1.0))", f"{X}.norm('a')",
    f"{X}.type(3)", "torch.device(3)", "torch.device(-1)", "torch.zeros(2, device='xpu')",
]  # fmt: skip
TAKEN = [
    f"torch.add(2.0, {X})", f"torch.roll({X}, 1, None)", f"torch.isin({X}, 1.0)", "torch.linspace(0, 1, 3)",
    f"torch.dropout({X}, torch.tensor(0.0), True)", f"{X}.copy_(2.0)", f"torch.softmax({X}, torch.tensor(0))",
    f"{X}.flip(0)", f"{X}.sum(None)", f"{X}.to('cpu:1')", "torch.arange(1.0, 4)", f"torch.where({X} > 0, 2.0, {X})",
]  # fmt: skip


COUNTS = [
    *(f"{X}.{name}()" for name in "flip view repeat permute expand reshape tile sum_to_size".split()),
    f"torch.permute({X})", f"torch.flip({X}, 0, 1)", f"torch.reshape({X}, 3, 3)", f"torch.tile({X}, 2, 2)", f"torch.squeeze({X}, 0, 1)",
    f"torch.hsplit({X}, 1, 2)", f"torch.count_nonzero({X}, 0, 1)", f"{X}.contiguous(1)", f"{X}.is_contiguous(1)", f"{X}.float(None)",
    f"{X}.type_as(1)", f"{X}.is_set_to(1)", f"{X}.split(True)", f"{X}.size(True)", f"{X}.stride(True)", f"{X}.unique(1)",
    f"{X}.unique_consecutive(None)", f"torch.qr({X}, torch.tensor(1))", f"{X}.max(torch.tensor(1), torch.tensor(0))", f"{X}.prod(None)",
    f"{X}.std(torch.tensor(1), torch.tensor(0))", f"{X}.copy_(torch.tensor(1), torch.tensor(0))", "torch.where(None)",
]  # fmt: skip
TAKEN += [
    f"{X}.squeeze(0, 1)", f"{X}.squeeze_(-1, 0)", f"{X}.count_nonzero(1, 0)", f"{X}.hsplit(1, 2)[1]", f"{X}.vsplit(0, 2)[1]",
    f"{X}[None].dsplit(1, 2)[1]", f"{X}.add(2, 3)", f"torch.sub({X}, 2, 3)", f"torch.histogram({X}).hist", f"{X}[None].norm(dim=())",
    "torch.tensor(3).reshape(())", "torch.tensor(3).repeat(())", "torch.tensor(3).expand(())", f"{X}.to(True)", f"{X}.to(2.5)", f"{X}.to(1j)",
]  # fmt: skip


WRONG_VALUES = [
    *(f"torch.fft.{name}({X}, -1)" for name in "fft ifft rfft irfft hfft ihfft".split()), "torch.chain_matmul(torch.ones(3))",
    f"torch.lu_unpack({X}, {X})", f"torch.norm_except_dim({I})", f"torch.unravel_index({I}, -1)", f"{F}interpolate({X})",
    f"{F}interpolate({X}, 1, 2)", f"{F}interpolate({X}, [1, 2])", f"{F}fractional_max_pool2d({X}, 1)", f"{X}.view(-2, 3)",
]  # fmt: skip


@pytest.mark.parametrize("expression", NUMBERS_FOR_TENSORS + OTHER_KINDS + COUNTS + WRONG_VALUES)
def test_refused(expression: str) -> None:
    for _ in range(2):  # what was refused once is not taken for known
        ours, theirs = evaluate(fb, expression).error, evaluate(torch, expression).error
        assert theirs is not None and type(ours) is type(theirs), (ours, theirs)


@pytest.mark.parametrize("expression", TAKEN)
def test_taken(expression: str) -> None:
    ours, theirs = evaluate(fb, expression), evaluate(torch, expression)
    assert ours.error is None and theirs.error is None
    np.testing.assert_array_equal(ours.value.numpy(), theirs.value.numpy())


@pytest.mark.parametrize(
    "expression",
    [
        *COUNTS[:1],
        *COUNTS[2:9],
        WRONG_VALUES[0],
        WRONG_VALUES[-1],
        f"{X}.type_as(1)",
        f"torch.take({X}, 3)",
        f"torch.chunk({X}, True)",
        f"torch.permute({X}, (0, 1.0))",
        f"torch.flip({X}, 0)",
    ],
)
def test_words(expression: str) -> None:
    assert str(evaluate(fb, expression).error) == str(evaluate(torch, expression).error)


def test_kinds_that_hang_on_no_values_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    misfit = misfits.misfit
    monkeypatch.setattr(misfits, "misfit", lambda *call, **how: looked.append(call) or misfit(*call, **how))
    x, n = fb.zeros(3, 5), fb.tensor(1)
    x.copy_(x)  # PyTorch has overloads for numbers, which a tensor stands for, too
    looked.clear()
    x.copy_(fb.ones(3, 5))
    assert not looked
    x.select(0, n)
    with pytest.raises(TypeError):
        x.select(0, fb.ones(3, dtype=fb.int64))  # what is in a tensor for an int decides, each time
    assert looked


def test_a_bool_is_no_dimension() -> None:
    """PyTorch refuses it in a fresh process; in one that has run others of these tests it was seen to take it."""
    text = r"argument 'dims' \(position 2\) must be tuple of ints, but found element of type bool"
    with pytest.raises(TypeError, match=text):
        fb.permute(fb.ones(3, 3), [True, 0])
