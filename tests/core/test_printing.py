"""Printed forms against PyTorch's, on arrays (no Tensor needed)."""

import math

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch._tensor_str import printoptions as torch_printoptions

import flambeau as fb
from flambeau.core.array import dtypes, printing
from support.properties import examples

SHAPES = [(), (0,), (0, 3), (2, 0, 3), (1,), (5,), (13,), (30,), (3, 4), (2, 3, 4), (1, 1, 1, 1), (2, 1, 2, 3)]
LONG = [(1000,), (1001,), (2000,), (6, 400), (7, 300), (400, 6), (1001, 1), (20, 10, 9), (1001, 0, 3)]


def both(theirs, **options):
    """Our text and PyTorch's for one torch tensor, under the same print options."""
    plain = theirs.detach()
    dtype = getattr(dtypes, str(theirs.dtype).removeprefix("torch."))
    values = plain.float().numpy().astype(ml_dtypes.bfloat16) if plain.dtype == torch.bfloat16 else plain.numpy()
    name = theirs.grad_fn.name() if theirs.grad_fn else None
    with printing.printoptions(**options), torch_printoptions(**options):
        ours = printing.format_tensor(values, dtype, requires_grad=theirs.requires_grad, grad_fn_name=name)
        return ours, repr(theirs)


def check(theirs, **options):
    ours, expected = both(theirs, **options)
    assert ours == expected


FLOATS = [
    [1.0, 1000.0], [1.0, 1001.0], [1e8, 1e8], [1e8 + 8], [0.5, 500.0], [0.5, 501.0], [1e-4], [9.9e-5], [99999999.5],
    [math.inf, 1.0], [math.inf, 1.5], [-math.inf, math.nan, 2.0], [math.nan, 1e9], [math.nan, math.nan],
    [0.0, math.nan], [0.0, -0.0], [0.0, 1e-6], [12345.678], [0.0] * 40, [-0.0] * 40, [math.inf] * 40, [-1.5, 2.0, 1e-3],
    [5e-324, 1e308],
]  # fmt: skip


@pytest.mark.parametrize("values", FLOATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_float_styles(values, dtype):
    check(torch.tensor(values, dtype=dtype))
    check(torch.tensor(values, dtype=dtype)[0])


@pytest.mark.parametrize("shape", SHAPES + LONG, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.int64, torch.uint8, torch.bool])
def test_shapes_and_types(shape, dtype):
    n = math.prod(shape)
    check(((torch.arange(n) % 97) * (1 if dtype in (torch.int64, torch.uint8) else 0.37)).to(dtype).view(shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.complex128])
@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 20, 1500])
def test_suffixes_and_line_width(dtype, n):
    for tensor in (torch.linspace(0, 1, n).to(dtype), torch.ones(n).to(dtype)):
        tensor.requires_grad_()
        check(tensor)
        check(tensor + 1)
        check(tensor.view(1, n) * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.int16, torch.bool])
@pytest.mark.parametrize(
    "options",
    [
        {"profile": "short"},
        {"profile": "full"},
        {"precision": 0},
        {"precision": 10},
        {"sci_mode": True},
        {"sci_mode": False},
        {"linewidth": 30},
        {"linewidth": 1},
        {"threshold": 10, "edgeitems": 2, "linewidth": 40},
        {"threshold": 0, "edgeitems": 1},
        {"threshold": 0, "edgeitems": 0},
    ],
    ids=str,
)
def test_options(dtype, options):
    for shape in [(), (0,), (1,), (3,), (17,), (3, 3), (2, 5, 4), (1, 3, 1, 2)]:
        check((torch.arange(math.prod(shape)).view(shape) * 0.77).to(dtype), **options)
    check(torch.tensor([1e-9, 2.0, 1e10, 1]).to(dtype), **options)


def test_default_dtype_decides_what_is_told():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        dtypes.set_default_dtype(dtypes.float64)
        for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
            for n in (0, 2):
                check(torch.zeros(n, dtype=dtype))
    finally:
        torch.set_default_dtype(before)
        dtypes.set_default_dtype(dtypes.float32)


ANY_SHAPE = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
ANY_DTYPE = st.sampled_from(
    [np.float32, np.float64, np.float16, np.int64, np.int8, np.bool_, np.complex64, np.complex128]
)
ANY_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 8),
        "threshold": st.integers(0, 60),
        "edgeitems": st.integers(1, 4),
        "linewidth": st.integers(1, 120),
        "sci_mode": st.sampled_from([None, True, False]),
    },
)


@examples(150)
@given(array=ANY_DTYPE.flatmap(lambda d: hnp.arrays(d, ANY_SHAPE)), options=ANY_OPTIONS)
def test_any_array(array, options):
    check(torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape)), **options)


MODERATE = st.floats(-2000, 2000, width=32) | st.integers(-2000, 2000).map(float)


@examples(150)
@given(array=hnp.arrays(np.float32, ANY_SHAPE, elements=MODERATE), options=ANY_OPTIONS)
def test_moderate_floats(array, options):
    check(torch.from_numpy(array).requires_grad_() * 1, **options)


def test_options_are_kept_and_restored():
    for call in ({"profile": "short"}, {"precision": 2}, {"sci_mode": True}, {"precision": 3}, {"profile": "full"}):
        printing.set_printoptions(**call)
        torch.set_printoptions(**call)
        assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    printing.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")
    with printing.printoptions(precision=7):
        assert printing.get_printoptions()["precision"] == 7
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_values_that_are_not_there():
    text = printing.format_tensor(None, dtypes.float32, device="meta", shape=(2,), requires_grad=True)
    assert text == repr(torch.empty(2, device="meta", requires_grad=True))


def test_device_and_name_stand_where_pytorch_puts_them():
    text = printing.format_tensor(np.zeros(2), dtypes.float64, device="cuda:0", grad_fn_name="AddBackward0")
    assert text == "tensor([0., 0.], device='cuda:0', dtype=torch.float64, grad_fn=<AddBackward0>)"
    assert printing.format_tensor(np.zeros((2, 1), "f4"), dtypes.float32, name="S") == "S([[0.],\n   [0.]])"


def test_a_large_array_is_not_read_whole():
    huge = np.broadcast_to(np.float32(1.5), (10**6, 10**6))
    assert printing.format_tensor(huge, dtypes.float32).count("1.5000") == 36


@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20), (3, 2**30)])
def test_large_tensors_that_share_elements_are_not_written_out(shape) -> None:
    assert repr(fb.ones(1).expand(shape)) == repr(torch.ones(1).expand(shape))
    column, theirs = (t.arange(6.0)[::2][1:, None].expand(2, 2**30) for t in (fb, torch))
    assert repr(column) == repr(theirs)
