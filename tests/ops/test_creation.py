"""Creation functions against PyTorch: values, dtypes, strides, warnings and the types of errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.expressions import agree
from support.properties import examples
from support.values import array, same

EXACT = [
    "torch.tensor(torch.arange(24.).reshape(2, 3, 4))",
    "torch.tensor(torch.arange(24.).reshape(2, 3, 4).permute(2, 0, 1)).stride()",
    "torch.ones(1).new_tensor(torch.arange(6).reshape(2, 3))",
    "torch.ones(1).new_tensor(torch.arange(6).reshape(2, 3).mT).stride()",
    "torch.tensor(1)",
    "torch.tensor(1.)",
    "torch.tensor(True)",
    "torch.tensor(1j)",
    "torch.tensor([1,2.])",
    "torch.tensor([True,2])",
    "torch.tensor([True,2.5])",
    "torch.tensor([1,2j])",
    "torch.tensor([])",
    "torch.tensor([[],[]])",
    "torch.tensor([[1],[2,3]])",
    "torch.tensor([[1,2],3])",
    "torch.tensor([1,[2]])",
    "torch.tensor([[[1,2],[3]],[[1,2],[3,4]]])",
    "torch.tensor(None)",
    "torch.tensor([None])",
    'torch.tensor("a")',
    'torch.tensor(["a"])',
    'torch.tensor([1,"a"])',
    "torch.tensor({})",
    "torch.tensor({1:2})",
    "torch.tensor(np.float32(3))",
    "torch.tensor([np.float32(3)])",
    "torch.tensor([np.float64(3)])",
    "torch.tensor([np.int32(3)])",
    "torch.tensor([np.bool_(1),np.bool_(0)])",
    "torch.tensor(np.float16(3))",
    "torch.tensor([np.float16(3)])",
    "torch.tensor([np.array(1.,np.float64)])",
    "torch.tensor(np.arange(3,dtype=np.int8))",
    "torch.tensor(t)",
    "torch.tensor([s0,s0])",
    "torch.tensor([l0,s0])",
    "torch.tensor([t,t])",
    "torch.tensor([s0.double()])",
    "torch.tensor([s0.half()])",
    "torch.tensor([l0.int()])",
    "torch.tensor([torch.tensor([3.])])",
    "torch.tensor(range(3))",
    "torch.tensor((1,2))",
    "torch.tensor(2**63)",
    "torch.tensor(2**64)",
    "torch.tensor(-2**63)",
    "torch.tensor([2**63])",
    "torch.tensor(300,dtype=torch.uint8)",
    "torch.tensor([300],dtype=torch.uint8)",
    "torch.tensor(-1,dtype=torch.uint8)",
    "torch.tensor(2.7,dtype=torch.int32)",
    "torch.tensor([1.5],dtype=torch.bool)",
    "torch.tensor(1j,dtype=torch.float32)",
    "torch.tensor([1],requires_grad=True)",
    "torch.tensor([1.],requires_grad=True)",
    "torch.tensor(np.array([1,2],dtype=np.uint16))",
    'torch.tensor(np.array(["a"]))',
    "torch.tensor(np.array([1],dtype=object))",
    'torch.tensor(np.array([1,2],dtype=">i4"))',
    "torch.tensor(1e400)",
    "torch.tensor(1e39,dtype=torch.float32)",
    "torch.tensor(1e39)",
    "torch.tensor([1e6],dtype=torch.half)",
    "torch.tensor(collections.deque([1,2]))",
    "torch.tensor({1,2})",
    "torch.tensor(x for x in range(3))",
    "torch.tensor(np.zeros((2,0)))",
    "torch.tensor([[True],[0.5]])",
    'torch.tensor(bytearray(b"ab"))',
    'torch.tensor(b"ab")',
    'torch.tensor(float("nan"),dtype=torch.int64)',
    "torch.tensor(1,dtype=float)",
    "torch.tensor(1,dtype=int)",
    'torch.tensor(1,dtype="float32")',
    "torch.tensor(1,dtype=np.float32)",
    "torch.tensor()",
    "torch.tensor(1,2)",
    "torch.tensor(data=3)",
    'torch.tensor(1,device="cuda")',
    "torch.tensor(1,pin_memory=False)",
    "torch.tensor([t[0],2])",
    "torch.tensor([[t,t],[t,t]])",
    "torch.tensor([2**31])",
    "torch.tensor([1,2],names=None)",
    "torch.as_tensor([1,2])",
    "torch.as_tensor(t) is t",
    "torch.as_tensor(t,dtype=torch.float64)",
    "torch.as_tensor(np.float32(2))",
    "torch.asarray([1,2])",
    "torch.asarray(t) is t",
    "torch.asarray(t,copy=True) is t",
    "torch.asarray([1.,2],copy=False)",
    "torch.asarray(t,requires_grad=True)",
    "torch.asarray(np.arange(3),copy=False)",
    "torch.asarray(5)",
    "torch.asarray(t,dtype=torch.int32,copy=False)",
    "torch.from_numpy([1])",
    "torch.from_numpy(np.arange(3))",
    "torch.from_numpy(np.arange(3)[::-1])",
    "torch.from_numpy(np.arange(6).reshape(2,3).T)",
    "torch.from_numpy(np.array(3.))",
    'torch.frombuffer(bytearray(b"abcdefg"),dtype=torch.int32)',
    'torch.frombuffer(bytearray(b""),dtype=torch.int32)',
    'torch.frombuffer(bytearray(b"abcdefg"),dtype=torch.int32,count=1)',
    'torch.frombuffer(bytearray(b"abcdefg"),dtype=torch.int16,offset=1)',
    "torch.from_numpy(ro)",
    "torch.as_tensor(ro)",
    "torch.tensor(ro)",
    "torch.from_numpy(np.arange(2,dtype=np.complex64))",
    'torch.from_numpy(np.array(["a"]))',
    'torch.from_numpy(np.array([1],">i4"))',
    "torch.zeros(2,3)",
    "torch.zeros((2,3))",
    "torch.zeros([2])",
    "torch.zeros(())",
    "torch.zeros()",
    "torch.zeros(size=(2,))",
    "torch.zeros(2,dtype=torch.int32)",
    "torch.zeros(-1)",
    "torch.zeros(2.)",
    "torch.zeros((2.,))",
    'torch.zeros("a")',
    "torch.zeros(2,dtype=torch.int64,requires_grad=True)",
    "torch.zeros(True)",
    "torch.zeros(l0)",
    "torch.zeros((l0,2))",
    "torch.zeros(np.int64(2),3)",
    "torch.zeros((2,),(3,))",
    "torch.zeros(2,out=torch.empty(3))",
    "torch.zeros(2,out=torch.empty(2,dtype=torch.int32))",
    "torch.zeros(2,out=torch.empty(2,dtype=torch.int32),dtype=torch.float32)",
    "torch.full((2,),3)",
    "torch.full((2,),3.)",
    "torch.full((2,),True)",
    "torch.full((2,),1j)",
    "torch.full((2,),s0)",
    "torch.full((2,),l0)",
    "torch.full((2,),t)",
    "torch.full(2,3)",
    "torch.full((2,),3.7,dtype=torch.int32)",
    "torch.full((2,),300,dtype=torch.uint8)",
    "torch.full(size=(2,),fill_value=3)",
    "torch.full((2,),-1,dtype=torch.uint8)",
    'torch.full((2,),"a")',
    "torch.full((2,),3,out=torch.empty(2))",
    "torch.ones(2,3,layout=torch.strided)",
    "torch.empty(2,3).shape",
    "torch.empty(2,memory_format=torch.contiguous_format).shape",
    *(
        f"torch.ones({shape}).{call}"
        for shape in ("2,3,4,5", "2,1,4,4", "2,3,1,1", "2,3,4")
        for call in (
            "to(memory_format=torch.channels_last)",
            "to(torch.float64,memory_format=torch.channels_last)",
            "to(memory_format=torch.channels_last).to(memory_format=torch.contiguous_format)",
            "half(memory_format=torch.channels_last)",
            "cpu(memory_format=torch.channels_last_3d)",
            "clone(memory_format=torch.channels_last)",
        )
    ),
    "torch.empty(2,3,4,memory_format=torch.channels_last)",
    *(
        f"torch.broadcast_shapes({shapes})"
        for shapes in (
            "",
            "(),(2,)",
            "3,(2,1),1",
            "(1,0),(3,1)",
            "(2,3),(4,)",
            "(4,),[2,3]",
            "-1",
            "(3,),(-1,)",
            "2.5",
            "None",
        )
    ),
    *(
        f"torch.{call},device='meta').shape"
        for call in ("randn(3,dtype=torch.int64", "normal(0.,-1.,(3,)", "randint(3,1,(2,)", "rand(3,dtype=torch.int64")
    ),
    "torch.empty(3,device='meta').uniform_(2,1).shape",
    "torch.empty(3,device='meta').random_(3,1).shape",
    "torch.ones(2,3).narrow_copy(2,0,0)",
    "torch.tensor([True,False]).clamp(torch.tensor([False,True]))",
    "torch.tensor([True,False]).clamp(True,False)",
    "torch.constant_pad_nd(torch.ones(2)+0j,(1,1),1+2j)",
    "torch.eye(2)",
    "torch.eye(2,3)",
    "torch.eye(n=2,m=1)",
    "torch.eye(-1)",
    "torch.eye(2,-1)",
    "torch.eye(2,dtype=torch.bool)",
    "torch.eye(2,3,dtype=torch.int8)",
    "torch.eye(2.)",
    "torch.arange(3)",
    "torch.arange(3.)",
    "torch.arange(1,3)",
    "torch.arange(1,3,.5)",
    "torch.arange(0,1,.1)",
    "torch.arange(start=1,end=5,step=2)",
    "torch.arange(end=3)",
    "torch.arange(5,1,-1)",
    "torch.arange(5,1)",
    "torch.arange(1,5,-1)",
    "torch.arange(1,2,0)",
    "torch.arange(3,dtype=torch.float16)",
    "torch.arange(0,3,dtype=torch.bool)",
    "torch.arange(2,dtype=torch.bool)",
    "torch.arange(l0)",
    "torch.arange(s0)",
    "torch.arange(True)",
    'torch.arange(float("inf"))',
    'torch.arange(0,float("nan"))',
    "torch.arange(1j)",
    "torch.arange(3,out=torch.empty(3))",
    "torch.arange(-2.5,2)",
    "torch.arange(1,2.5,.3,dtype=torch.float64)",
    "torch.arange(0.5,3,dtype=torch.int64)",
    "torch.arange(0,5,1.5,dtype=torch.int64)",
    "torch.arange(3,requires_grad=True)",
    "torch.arange(3.,requires_grad=True)",
    "torch.arange(1,2,3,4)",
    "torch.arange()",
    'torch.arange("a")',
    "torch.arange(2**53,2**53+3)",
    "torch.arange(np.int64(3))",
    "torch.arange(np.float32(3))",
    "torch.arange(0.,10,3)",
    "torch.arange(0,2**40,2**38)",
    "torch.range(0,3)",
    "torch.range(0,3,.5)",
    "torch.linspace(0,1,5)",
    "torch.linspace(0,1,0)",
    "torch.linspace(0,1,1)",
    "torch.linspace(0,1,-1)",
    "torch.linspace(0,10,5,dtype=torch.int64)",
    "torch.linspace(0,1)",
    "torch.linspace(start=1,end=2,steps=2)",
    "torch.linspace(s0,4,3)",
    "torch.linspace(t,4,3)",
    "torch.linspace(0,1j,3)",
    "torch.linspace(3,-3,4,dtype=torch.int32)",
    "torch.linspace(0,1,3,dtype=torch.float16)",
    "torch.linspace(0,1,3,out=torch.empty(3,dtype=torch.float64))",
    "torch.linspace(0,1,2.)",
    "torch.zeros_like(x)",
    "torch.ones_like(x,dtype=torch.int64)",
    "torch.zeros_like(e)",
    "torch.zeros_like(cl).stride()",
    "torch.zeros_like(sl)",
    "torch.zeros_like(x,memory_format=torch.contiguous_format)",
    "torch.full_like(i,2)",
    "torch.full_like(i,2.5)",
    "torch.full_like(x,True)",
    "torch.full_like(x,2,dtype=torch.bool)",
    "torch.full_like(x,s0)",
    "torch.zeros_like([1])",
    "torch.zeros_like(x,requires_grad=True).requires_grad",
    "torch.zeros_like(input=x)",
    "torch.empty_like(x).stride()",
    "torch.zeros_like(x.permute(1,0)[None])",
    "x.new_tensor([1,2])",
    "i.new_tensor([1.5])",
    "i.new_tensor(x)",
    "i.new_tensor([1.5],dtype=torch.float64)",
    "i.new_zeros(2,3)",
    "i.new_zeros((2,3))",
    "i.new_ones(2)",
    "i.new_full((2,),3.7)",
    "i.new_full((2,),3.7,dtype=torch.float32)",
    "x.new_full((2,),3)",
    "i.new_empty(2).shape",
    "i.new_zeros(2,dtype=torch.float32,requires_grad=True)",
    "x.new_zeros(-1)",
    "x.new_zeros(())",
    "x.new_zeros()",
    "x.new_empty_strided((2,3),(1,2)).stride()",
    "x.new(2).shape",
    "x.new([1,2])",
    "x.new_tensor(3.,requires_grad=True)",
    "torch.full_like(x,1j)",
    "torch.full_like(x,t)",
    "torch.full_like(x)",
    "torch.empty_strided((2,3),(1,2)).stride()",
    "torch.empty_strided((2,3),(0,0)).stride()",
    "torch.empty_strided((2,),(1,2))",
    "torch.empty_strided((2,),(-1,))",
    "torch.scalar_tensor(3)",
    "torch.scalar_tensor(3,dtype=torch.int64)",
    "torch.scalar_tensor(3.,dtype=torch.int64)",
    "torch.scalar_tensor(t)",
    "torch.complex(t,t)",
    "torch.complex(t,t.double())",
    "torch.complex(i,i)",
    "torch.complex(t,s0)",
    "torch.polar(t,t)",
    "torch.polar(i,i)",
    "torch.polar(t,t.double())",
    "torch.tril_indices(3,3)",
    "torch.tril_indices(3,3,1)",
    "torch.tril_indices(2,4,offset=-1)",
    "torch.triu_indices(3,2)",
    "torch.triu_indices(3,4,-1,dtype=torch.int32)",
    "torch.tril_indices(0,3)",
    "torch.tril_indices(3,0)",
    "torch.tril_indices(-1,3)",
    "torch.tril_indices(3,3,dtype=torch.float32)",
    "torch.triu_indices(3,3,10)",
    "torch.tril_indices(row=2,col=2)",
    "torch.tril_indices(2)",
    "torch.tril_indices(2,2,dtype=torch.int8)",
    "torch.cartesian_prod(t,t)",
    "torch.cartesian_prod(t)",
    "torch.cartesian_prod(t,i)",
    "torch.cartesian_prod()",
    "torch.cartesian_prod(x,t)",
    "torch.cartesian_prod(t,t,t[:1])",
    "torch.cartesian_prod(t,t[:0])",
    "torch.cartesian_prod(s0)",
    "torch.cartesian_prod(s0,t)",
    'torch.meshgrid(t,i,indexing="ij")',
    "torch.meshgrid(t,i)",
    'torch.meshgrid([t,t],indexing="xy")',
    'torch.meshgrid(t,s0,indexing="ij")',
    'torch.meshgrid(x,t,indexing="ij")',
    'torch.meshgrid(t,t,indexing="ab")',
    'torch.meshgrid(t,t.double(),indexing="ij")',
    "torch.meshgrid()",
    'torch.meshgrid(t,indexing="xy")',
    "torch.meshgrid(1,2)",
    'torch.meshgrid((t,t),indexing="xy")[0].stride()',
]

CLOSE = [
    "torch.logspace(0,2,3)",
    "torch.logspace(0,2,3,base=2)",
    "torch.logspace(0,2,1)",
    "torch.logspace(0,2,3,2)",
    "torch.logspace(0,1,4,dtype=torch.int64)",
    "torch.logspace(0,1,3,dtype=torch.complex64)",
    "torch.logspace(0,1,3,base=-2)",
]


@pytest.mark.parametrize("expression", EXACT)
def test_creation_agrees_exactly(expression: str) -> None:
    agree(expression)


@pytest.mark.parametrize("expression", CLOSE)
def test_creation_agrees_closely(expression: str) -> None:
    agree(expression, exact=False)


def aligned(values: Any) -> np.ndarray:
    """An array whose memory JAX could take over without a copy."""
    values = np.asarray(values)
    memory = np.empty(values.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    made = memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    made[...] = values
    return made


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays")
@pytest.mark.parametrize("make", ["tensor", "new_tensor", "asarray copy", "list"])
def test_copies_do_not_alias(make: str) -> None:
    source = aligned(np.arange(6.0, dtype=np.float32))
    made = {
        "tensor": lambda: fb.tensor(source),
        "new_tensor": lambda: fb.zeros(1).new_tensor(source),
        "asarray copy": lambda: fb.asarray(source, copy=True),
        "list": lambda: fb.tensor([source, source]),
    }[make]()
    source[:] = -1
    assert (array(made) >= 0).all()


@pytest.mark.parametrize("make", ["from_numpy", "as_tensor", "asarray"])
@pytest.mark.parametrize("view", ["whole", "transposed", "sliced", "stepped"])
def test_sharing_with_numpy(make: str, view: str) -> None:
    source = np.arange(24.0).reshape(4, 6)
    part = {"whole": source, "transposed": source.T, "sliced": source[1:, 2:4], "stepped": source[::2, ::3]}[view]
    theirs = torch.from_numpy(part.copy()) if view == "whole" else torch.from_numpy(part)
    ours = getattr(fb, make)(part)
    same(ours, torch.from_numpy(part))
    assert ours.stride() == theirs.stride()
    part[0] = 100
    assert (array(ours[0]) == 100).all()
    ours[1] = -7.0
    assert (part[1] == -7).all()
    assert (source == -7).sum() == part[1].size


def test_frombuffer_shares() -> None:
    memory = bytearray(b"abcd")
    ours = fb.frombuffer(memory, dtype=fb.uint8, offset=1)
    memory[1] = 0
    assert ours.tolist() == [0, 99, 100]
    ours[2] = 1
    assert memory == b"a\0c\x01"


@pytest.mark.parametrize("name", ["zeros_like", "rand_like", "full_like"])
def test_likeness_keeps_the_order_in_memory(name: str) -> None:
    for expression in (
        "x.zeros(6, 8)[:, ::2].t()", "x.zeros(2, 3, 4).permute(2, 0, 1)", "x.zeros(1, 3).expand(4, 3)",
        "x.zeros(3, 1).expand(3, 4)", "x.zeros(2, 3, 4, 5).permute(0, 3, 1, 2)", "x.zeros(3, 4)[1:]",
    ):  # fmt: skip
        made = []
        for library in (fb, torch):
            source = eval(expression, {"x": library})
            args = (2.0,) if name == "full_like" else ()
            made.append(getattr(library, name)(source, *args))
        assert made[0].stride() == made[1].stride(), expression
        assert made[0].shape == tuple(made[1].shape)


NUMBERS = st.one_of(st.booleans(), st.integers(-(2**31), 2**31), st.floats(allow_nan=True), st.complex_numbers())


@examples(60)
@given(
    st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=8),
    st.sampled_from([None, "float32", "float64", "int64", "bool", "complex64"]),
)
def test_any_nesting(data: Any, dtype: str | None) -> None:
    def attempt(library: Any) -> Any:
        try:
            return library.tensor(data, dtype=None if dtype is None else getattr(library, dtype))
        except (ValueError, TypeError, RuntimeError) as error:
            return error

    ours, theirs = attempt(fb), attempt(torch)
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception)
    elif isinstance(ours, Exception):
        assert theirs.numel() == 0, ours  # PyTorch does not look further into data of which nothing is left
    else:
        same(ours, theirs, rtol=0, atol=0)


@examples(60)
@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(0.01, 5), st.sampled_from(["float32", "float64", "int64"]))
def test_arange_of_any_floats(low: float, high: float, step: float, dtype: str) -> None:
    if dtype == "int64":
        step = max(1.0, step)
    step = step if high >= low else -step
    made = [library.arange(low, high, step, dtype=getattr(library, dtype)) for library in (fb, torch)]
    unit = 1e-6 if dtype == "float32" else 1e-15
    same(*made, rtol=unit, atol=100 * unit if dtype != "int64" else 0)


@examples(60)
@given(
    st.floats(-100, 100), st.floats(-100, 100), st.integers(0, 300),
    st.sampled_from(["float32", "float64", "float16", "int64"]),
)  # fmt: skip
def test_linspace_of_any_floats(low: float, high: float, n: int, dtype: str) -> None:
    made = [library.linspace(low, high, n, dtype=getattr(library, dtype)) for library in (fb, torch)]
    same(*made, atol=1e-5 if dtype == "float32" else None)


def test_default_dtype() -> None:
    for library in (fb, torch):
        library.set_default_dtype(library.float64)
    try:
        for expression in ("tensor(1.)", "tensor([1, 1j])", "arange(3.)", "full((1,), 1.)", "ones(2)", "eye(2)"):
            same(eval("fb." + expression), eval("torch." + expression))
    finally:
        for library in (fb, torch):
            library.set_default_dtype(library.float32)


def test_ragged_data_says_where() -> None:
    with pytest.raises(ValueError, match=r"expected sequence of length 1 at dim 1 \(got 2\)"):
        fb.tensor([[1], [2, 3]])
    with pytest.raises(TypeError, match="not a sequence"):
        fb.tensor([[1, 2], 3])
    with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
        fb.tensor([fb.ones(2), fb.ones(2)])


def test_gradients_of_complex_parts() -> None:
    made = []
    for library in (fb, torch):
        a = library.tensor([1.0, 2.0], requires_grad=True)
        b = library.tensor([0.5, -2.0], requires_grad=True)
        (library.polar(a, b).real * library.complex(a, b).imag).sum().backward()
        made.append((a.grad, b.grad))
    same(*made)


def test_numpys_values_of_any_strides_become_values_of_their_own() -> None:
    from flambeau.core.array import devices

    values = np.arange(24.0).reshape(4, 6)
    for laid in (
        np.broadcast_to(values[:, :1], (4, 6)),
        values.T,
        values[::-1, ::2],
        np.broadcast_to(np.ones(()), (3, 5)),
    ):
        made = devices.from_numpy(laid)
        before = laid.copy()
        np.testing.assert_array_equal(np.asarray(made), before)
        values += 1  # what lies otherwise in memory is a copy
        np.testing.assert_array_equal(np.asarray(made), before)


def test_filling_leaves_the_tensor_where_it_was() -> None:
    x = fb.ones(5, 3)
    y = x * 2
    y.zero_()
    assert (y + 1).tolist() == [[1.0] * 3] * 5 and y.device == x.device and y._array.sharding == (x * 2)._array.sharding
