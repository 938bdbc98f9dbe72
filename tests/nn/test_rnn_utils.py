"""Padding and packing sequences of different lengths."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import flambeau as fb
import flambeau.nn
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


R, THEIRS = fb.nn.utils.rnn, torch.nn.utils.rnn
X = torch.arange(24.0).view(4, 3, 2)


def agree(call: Callable[[Any, Any], Any], given: Any) -> None:
    """The same result, or an error of the same type whose text holds torch's."""
    try:
        expected = call(THEIRS, given)
    except Exception as error:
        with pytest.raises(type(error)) as caught:
            call(R, to_flambeau(given))
        assert str(error) in str(caught.value)
    else:
        got = call(R, to_flambeau(given))
        same(list(got) if isinstance(got, tuple) else got, list(expected) if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize(
    "lengths", [[4, 3, 1], [3, 4, 1], [4, 3, 0], [4, -1, 2], [3, 3, 1], (4, 2, 2), [4.0, 3, 1], 5], ids=str
)
def test_pack_padded(lengths: Any, in_order: bool) -> None:
    agree(lambda lib, x: lib.pack_padded_sequence(x, lengths, enforce_sorted=in_order), X)
    if isinstance(lengths, list):
        agree(lambda lib, g: lib.pack_padded_sequence(g[0], g[1], enforce_sorted=in_order), (X, torch.tensor(lengths)))


def test_refusals() -> None:
    for lengths in ([4, 3], [4, 3, 1, 1], []):
        agree(lambda lib, x: lib.pack_padded_sequence(x, lengths), X)  # noqa: B023
    for shape, lengths in (((3, 0, 2), []), ((0, 2, 2), [0, 0]), ((3,), [3])):
        agree(lambda lib, x: lib.pack_padded_sequence(x, lengths), torch.zeros(shape))  # noqa: B023
    with pytest.raises(RuntimeError, match="a sequence of length 5 can't lie in an input with 4 steps"):
        R.pack_padded_sequence(to_flambeau(X), [5, 3, 1])
    for rows in ([], 5, [torch.ones(2), [1.0]], [torch.ones(2, 3), torch.ones(3, 2)]):
        agree(lambda lib, given: lib.pad_sequence(given), rows)
    agree(lambda lib, given: lib.pad_sequence(given, padding_side="up"), [torch.ones(2)])
    agree(lambda lib, given: lib.pack_sequence(given), [torch.ones(2), torch.ones(3)])
    packed = R.pack_padded_sequence(to_flambeau(X), [4, 3, 1])
    for sizes in ([3, 2], [2, 3, 3], []):
        with pytest.raises(RuntimeError, match="batch_sizes"):
            R.pad_packed_sequence(packed._replace(batch_sizes=fb.tensor(sizes, dtype=fb.int64)))


@pytest.mark.parametrize(
    "settings", [{}, {"batch_first": True}, {"padding_value": -1}, {"total_length": 6}, {"total_length": 2}], ids=str
)
@pytest.mark.parametrize("lengths", [[4, 3, 1], [1, 4, 2]], ids=str)
def test_pad_packed(settings: dict[str, Any], lengths: list[int]) -> None:
    def there_and_back(lib: Any, x: Any) -> Any:
        return lib.pad_packed_sequence(lib.pack_padded_sequence(x, lengths, enforce_sorted=False), **settings)

    agree(there_and_back, X)
    agree(there_and_back, X.long())


def test_gradients() -> None:
    grads = []
    for lib, utils in ((fb, R), (torch, THEIRS)):
        rows = [lib.ones(n, 2).requires_grad_() for n in (2, 3)]
        utils.pad_sequence(rows, padding_value=5.0).prod().backward()
        packed = utils.pack_sequence(rows, enforce_sorted=False)
        (utils.pad_packed_sequence(packed)[0] * lib.arange(12.0).view(3, 2, 2)).sum().backward()
        grads.append([row.grad for row in rows])
    same(*grads)


def test_packed_sequence() -> None:
    rows = [torch.ones(2, 2), torch.zeros(3, 2)]
    ours, theirs = R.pack_sequence(to_flambeau(rows), False), THEIRS.pack_sequence(rows, False)
    assert repr(ours) == repr(theirs)
    for name in ("double", "float", "half", "long", "int", "short", "char", "byte", "cpu", "is_pinned"):
        got, expected = getattr(ours, name)(), getattr(theirs, name)()
        assert repr(got) == repr(expected)
        assert (got is ours) == (expected is theirs)
    assert ours.to("cpu") is ours and ours.to(fb.float64).batch_sizes is ours.batch_sizes and not ours.is_cuda
    with pytest.raises(RuntimeError, match="does not accept copy argument"):
        ours.to(fb.float64, copy=True)
    for made in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), ours._replace(data=ours.data)):
        assert type(made) is R.PackedSequence and repr(made) == repr(ours)
    same(R.unpack_sequence(ours), rows)
    same(R.invert_permutation(fb.tensor([2, 0, 1])), torch.tensor([1, 2, 0]))
    by_hand = R.PackedSequence(ours.data, ours.batch_sizes, ours.sorted_indices)
    assert by_hand.unsorted_indices is not None and fb.equal(by_hand.unsorted_indices, ours.unsorted_indices)
    with pytest.raises(AssertionError, match="Expected data to be a list or tuple of length 2"):
        R.PackedSequence(ours.data)
