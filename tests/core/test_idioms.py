"""Small things that ordinary code does with tensors, run by both libraries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import flambeau as fb
from support.programs import agree

LISTS = [
    lambda t: [[0, 1], [1, 0]],
    lambda t: [[0, 1]],
    lambda t: [slice(0, 1), 0],
    lambda t: [None, 0],
    lambda t: [Ellipsis, 0],
    lambda t: [t.tensor(0), t.tensor(1)],
    lambda t: [[True, False], [0]],
    lambda t: [range(2)],
    lambda t: [[[0, 1], [1, 0]]],
    lambda t: [0, 1],
    lambda t: [True, False],
    lambda t: [[0]] * 40,
    lambda t: t.tensor(True),
    lambda t: t.tensor(False),
    lambda t: t.tensor(1, dtype=t.uint8),
]


@pytest.mark.parametrize("number", range(len(LISTS)))
def test_lists_and_lone_masks_as_indices(number):
    agree(lambda t: t.arange(24).reshape(2, 3, 4)[LISTS[number](t)])

    def write(t):
        x = t.zeros(2, 3, 4)
        x[LISTS[number](t)] = 5
        return x

    agree(write)


@pytest.mark.parametrize("value", [5, 5.0, [5], [5.0, 6.0]])
def test_writes_by_masks_of_bytes(value):
    def code(write):
        def run(t):
            x, mask = t.arange(3.0), t.tensor([1, 0, 1], dtype=t.uint8)
            write(t, x, mask, t.tensor(value) if isinstance(value, list) else value)
            return x

        return run

    agree(code(lambda t, x, mask, v: x.__setitem__(mask, v)))
    agree(code(lambda t, x, mask, v: x.reshape(3, 1).__setitem__((mask, 0), v)))
    if isinstance(value, list):
        for accumulate in (False, True):
            agree(code(lambda t, x, mask, v, a=accumulate: x.index_put_((mask,), v.to(x.dtype), accumulate=a)))


def put(value, dtype="float32", key=0):
    def code(t):
        x = t.zeros(2, dtype=getattr(t, dtype))
        x[key] = value
        return x

    return code


def inside(mode):
    def code(t):
        with t.inference_mode(mode):
            return t.is_inference_mode_enabled()

    return code


ROWS = [
    inside(True),
    inside(False),
    inside(1),
    inside("x"),
    put(300, "uint8"),
    put(-300, "uint8"),
    put(-1, "uint8"),
    put(200, "int8", [0]),
    put(1j, "int32"),
    put(1j),
    put(float("nan"), "int32"),
    put(float("inf"), "int32"),
    put(2**40, "int32"),
    put(2.7, "int32"),
    put(1e6, "float16"),
    put(True, "int64"),
    lambda t: t.zeros(2, dtype=t.uint8).fill_(300),
    lambda t: t.zeros(2, dtype=t.float16).fill_(1e6),
    lambda t: t.zeros(2, dtype=t.bfloat16).fill_(float("inf")),
    lambda t: t.full((2,), 1e40),
    lambda t: t.tensor(1e40),
    lambda t: t.tensor([1, 2]) - True,
    lambda t: t.tensor([True]) - 1,
    lambda t: 1 - t.tensor([True]),
    lambda t: t.tensor([True]) - t.tensor([1]),
    lambda t: t.tensor([1.0]) - t.tensor(True),
    lambda t: t.tensor([True]) - True,
    lambda t: t.tensor([True]).sub_(True),
    lambda t: t.tensor([1.5]) - 1,
    lambda t: t.ones(2).__delitem__(0),
    lambda t: int(t.ones(2)),
    lambda t: float(t.ones(0)),
    lambda t: [int(t.tensor([2.7])), float(t.tensor([[3]])), str(complex(t.tensor(1j)))],
    lambda t: 1 in t.tensor([1, 2]),
    # diagonals
    lambda t: t.zeros(3, 3).fill_diagonal_(2),
    lambda t: t.zeros(7, 2).fill_diagonal_(1, wrap=True),
    lambda t: t.zeros(7, 2).fill_diagonal_(1),
    lambda t: t.zeros(2, 7).fill_diagonal_(1, wrap=True),
    lambda t: t.zeros(2, 2, 2).fill_diagonal_(1),
    lambda t: t.zeros(3, 2, 2).fill_diagonal_(1),
    lambda t: t.zeros(3).fill_diagonal_(1),
    lambda t: t.ones(2, 2, requires_grad=True).clone().fill_diagonal_(3),
    lambda t: t.zeros(2, 2, requires_grad=True).fill_diagonal_(1),
    lambda t: t.autograd.grad((w := t.ones(3, 3, requires_grad=True)).mul(2).fill_diagonal_(1).sum(), w),
    # sums
    lambda t: t.ones(2, 3).sum_to_size(1, 3),
    lambda t: t.ones(2, 3).sum_to_size((3,)),
    lambda t: t.ones(2, 3).sum_to_size(()),
    lambda t: t.ones(2, 3).sum_to_size(2, 3),
    lambda t: t.ones(2, 3).sum_to_size(3, 3),
    # by Python functions
    lambda t: t.arange(4.0).apply_(lambda v: v * 2),
    lambda t: t.ones(2, dtype=t.int32).apply_(lambda v: v + 1.5),
    lambda t: t.ones(2, requires_grad=True).apply_(lambda v: v),
    lambda t: t.arange(4.0).view(2, 2)[:, 0].apply_(lambda v: v + 1),
    lambda t: t.ones(2, 2).map_(t.arange(2.0), lambda a, b: a + b),
    lambda t: t.ones(2).map_(t.ones(2, dtype=t.int32), lambda a, b: a),
    lambda t: t.ones(2).map2_(t.ones(2), t.ones(2), lambda a, b, c: a + b + c),
    # questions
    lambda t: [t.ones(2).is_same_size(t.ones(2)), t.is_same_size(t.ones(2), t.ones(3))],
    lambda t: [(x := t.ones(2)).is_set_to(x.view(2)), x.is_set_to(x.clone()), x.is_mkldnn],
    # keyword spellings
    lambda t: t.squeeze(t.ones(1, 2), axis=0),
    lambda t: t.unsqueeze(t.ones(2), axis=1),
    lambda t: t.ones(2, 3).sum(axis=0, keepdims=True),
    # windows
    *(
        lambda t, w=window, n=n, p=periodic: getattr(t, w)(n, p)
        for window in ("hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window")
        for n in (0, 1, 2, 5, 6)
        for periodic in (True, False)
    ),
    lambda t: t.hamming_window(5, True, 0.5, 0.4),
    lambda t: t.kaiser_window(5, True, beta=8.6, dtype=t.float64),
    lambda t: t.hann_window(window_length=4, requires_grad=True),
    lambda t: t.hann_window(-1),
    lambda t: t.hann_window(3, dtype=t.int32),
    # torch's own forms of layers' functions
    lambda t: t.dropout(t.ones(3), 0.5, False),
    lambda t: t.dropout(t.ones(3), 1.0, True),
    lambda t: t.dropout_(t.ones(3), 1.0, True),
    lambda t: t.feature_dropout(t.ones(3, 2), 0.5, False),
    lambda t: t.batch_norm(t.arange(6.0).view(3, 2), None, None, None, None, True, 0.1, 1e-5, True),
    lambda t: t.batch_norm(t.ones(3, 2), t.ones(2), t.zeros(2), t.ones(2), t.ones(2), False, 0.1, 1e-5, True),
    lambda t: t.instance_norm(t.arange(6.0).view(1, 2, 3), t.ones(2), None, None, None, True, 0.1, 1e-5, True),
    lambda t: t.embedding(t.arange(6.0).view(3, 2), t.tensor([1, 2])),
    lambda t: t.constant_pad_nd(t.ones(2), (1, 1), 3.0),
    lambda t: t.binary_cross_entropy_with_logits(t.zeros(2), t.ones(2)),
    lambda t: t.binary_cross_entropy_with_logits(t.zeros(2), t.ones(2), reduction=1),
    lambda t: t.kl_div(t.zeros(2), t.ones(2), 2, log_target=True),
    lambda t: t.poisson_nll_loss(t.ones(2), t.ones(2), True, False, 1e-8, 1),
    lambda t: t.hinge_embedding_loss(t.ones(2), t.ones(2), 0.5, 1),
    lambda t: t.margin_ranking_loss(t.ones(2), t.zeros(2), -t.ones(2)),
    lambda t: t.cosine_embedding_loss(t.ones(2, 3), t.ones(2, 3), t.tensor([1, -1]), reduction=2),
    lambda t: t.triplet_margin_loss(t.ones(2, 3), t.zeros(2, 3), t.ones(2, 3)),
    # second names
    lambda t: t.unsafe_chunk(t.arange(4), 2),
    lambda t: t.arange(5).unsafe_split(2),
    lambda t: t.narrow_copy(t.arange(3), 0, 1, 2),
    lambda t: t.nonzero_static(t.tensor([1, 0, 1]), size=3),
    lambda t: t.nonzero_static(t.tensor([[1, 0], [1, 1]]), size=1),
    lambda t: t.index_put_(t.zeros(2), (t.tensor([1]),), t.ones(1)),
    lambda t: t.detach_(t.ones(1, requires_grad=True).clone()),
]


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_row(number):
    agree(ROWS[number], words=3)


def test_storages_show_the_memory_behind_views():
    def code(t):
        points = t.tensor([[4.0, 1.0], [5.0, 3.0], [2.0, 1.0]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls typed storages old
            held = points.storage()
            row = points[1].storage()
        held[0] = 9.0
        seen = [points, repr(held), len(held), held[1], held.tolist(), str(held.dtype), row.tolist(), held == row]
        raw = points.untyped_storage()
        seen += [raw.nbytes(), len(raw), raw.tolist(), raw[3], repr(raw), raw.data_ptr() == points.data_ptr()]
        seen += [points.t().untyped_storage().data_ptr() == raw.data_ptr(), t.is_storage(raw), type(held), type(raw)]
        seen += [isinstance(raw, t.UntypedStorage), isinstance(held, t.storage.TypedStorage), held.size()]
        held.fill_(2)
        seen.append(points.clone())
        return [*seen, t.tensor([]).set_(raw, 1, (2, 2), (2, 1)), t.tensor([]).set_(held), t.ones(2).set_(points)]

    agree(code)


def test_storages_refuse_what_they_lack():
    for lib in (fb, torch):
        raw = lib.arange(3, dtype=lib.int16).untyped_storage()
        with pytest.raises(IndexError):
            raw[6]
        with pytest.raises(TypeError):
            lib.ones(2).set_(5)


NUMPY = [
    lambda t, x: np.sqrt(x),
    lambda t, x: np.isnan(x),
    lambda t, x: np.add(np.ones(3), x),
    lambda t, x: np.exp(t.tensor(0.0)),
    lambda t, x: np.maximum(x, 2),
    lambda t, x: np.square(t.arange(3)),
    lambda t, x: np.abs(t.tensor([-1, 2])),
    lambda t, x: np.sin(x) + x,
    lambda t, x: np.greater(x, 2),
    lambda t, x: np.matmul(t.eye(2), t.eye(2)),
    lambda t, x: np.log(t.tensor([1.0], requires_grad=True)),
    lambda t, x: np.multiply(x.numpy(), x),
    lambda t, x: np.power(x, 2),
]


@pytest.mark.parametrize("number", range(len(NUMPY)))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_numpy_functions_of_tensors_give_tensors(number):
    def code(t):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's method has NumPy 1's signature
            return NUMPY[number](t, t.tensor([1.0, 4.0, 9.0]))

    agree(code)


def test_in_asks_for_numbers():
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar, but you passed in"):
        _ = "a" in fb.ones(2)


def test_capsules_both_ways():
    from flambeau.utils.dlpack import from_dlpack, to_dlpack

    assert from_dlpack(to_dlpack(fb.arange(3))).tolist() == [0, 1, 2]
    assert fb.from_dlpack(fb.to_dlpack(fb.ones(2))).tolist() == [1, 1]
    assert fb.from_dlpack(np.ones(2), device="cpu", copy=True).tolist() == [1, 1]
    with pytest.raises(NotImplementedError, match="from_numpy shares"):
        fb.from_dlpack(np.ones(2), copy=False)


def test_modules_of_switches_can_be_imported():
    import flambeau.backends.cuda
    import flambeau.backends.cudnn as cudnn
    import flambeau.backends.mps

    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, False)
    with cudnn.flags(benchmark=True):
        assert fb.backends.cudnn.benchmark
    assert not cudnn.benchmark and not flambeau.backends.mps.is_available()
    assert issubclass(fb.cuda.OutOfMemoryError, RuntimeError)
