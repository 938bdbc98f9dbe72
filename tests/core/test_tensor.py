"""What a tensor is: sharing, NumPy both ways, copies, indexing, errors."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from support.properties import examples
from support.values import same, to_flambeau


def test_import_does_not_import_torch():
    code = "import flambeau, sys; flambeau.nn.Linear; flambeau.optim.SGD; flambeau.utils.data; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_light():
    heavy = ["matplotlib", "sklearn", "rich", "typer", "PIL", "safetensors", "scipy"]
    code = f"import flambeau, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_numpy_memory_is_shared_both_ways():
    for lib in (fb, torch):
        a = lib.ones(3)
        b = a.numpy()
        a.add_(1)
        assert b.tolist() == [2, 2, 2]
        b[0] = 9
        assert a.tolist() == [9, 2, 2]
        n = np.zeros((2, 2))
        t = lib.from_numpy(n)
        n[0, 1] = 5
        assert t[0, 1].item() == 5
        t[1] = 7
        assert n.tolist() == [[0, 5], [7, 7]]
        row = t[1]
        n[1, 0] = 1
        assert row.tolist() == [1, 7]
        assert (t.t() + 0).tolist() == n.T.tolist()


def test_shared_memory_goes_back_to_an_immutable_array():
    a = fb.ones(3)
    array = a.numpy()
    assert a._storage.volatile
    del array
    a.tolist()
    assert not a._storage.volatile and a.tolist() == [1, 1, 1]


def test_numpy_refuses_what_torch_refuses():
    for lib in (fb, torch):
        with pytest.raises(RuntimeError, match="requires grad"):
            lib.ones(2, requires_grad=True).numpy()
        with pytest.raises(TypeError):
            lib.ones(2, dtype=lib.bfloat16).numpy()
        assert lib.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]
        with pytest.raises(TypeError):
            lib.from_numpy([1, 2])
        with pytest.raises(ValueError, match="negative"):
            lib.from_numpy(np.zeros(3)[::-1])


@pytest.mark.parametrize("lib", [fb, torch])
@pytest.mark.filterwarnings("ignore:__array")  # PyTorch's own are of an older NumPy's kind
def test_numpy_takes_what_requires_grad_where_no_gradient_is_recorded(lib):
    """A `Function`'s forward is handed tensors that require grad, and may give them to another library."""

    class Solve(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            assert x.requires_grad
            return lib.from_numpy(np.sqrt(np.asarray(x, dtype="float64")))

        @staticmethod
        def backward(ctx, slope):
            return slope

    x = lib.tensor([4.0, 9.0], requires_grad=True)
    assert Solve.apply(x * 1).tolist() == [2, 3]
    with lib.no_grad():
        assert np.asarray(x).tolist() == [4, 9]
        assert np.sqrt(x).tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(x)


def test_deepcopy_keeps_sharing_and_leaves():
    for lib in (fb, torch):
        x = lib.arange(6.0).reshape(2, 3)
        held = {"base": x, "row": x[0], "leaf": lib.ones(2, requires_grad=True)}
        made = copy.deepcopy(held)
        made["row"][0] = 50
        assert made["base"][0, 0] == 50 and x[0, 0] == 0
        assert made["leaf"].requires_grad and made["leaf"] is not held["leaf"]
        with pytest.raises(RuntimeError, match="deepcopy"):
            copy.deepcopy(held["leaf"] * 2)


def test_pickle_round_trip():
    x = fb.tensor([[1.5, 2.5]], dtype=fb.bfloat16, requires_grad=True)
    made = pickle.loads(pickle.dumps({"x": x, "n": fb.arange(3)}))
    assert repr(made["x"]) == repr(x) and made["n"].tolist() == [0, 1, 2]


@st.composite
def index_expressions(draw):
    shape = draw(st.sampled_from([(4,), (3, 4), (2, 3, 4), (2, 1, 3, 2)]))
    items = []
    remaining = len(shape)
    used_ellipsis = False
    dims = list(shape)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["int", "slice", "none", "ellipsis", "tensor", "mask", "list", "bool"]))
        if kind == "none":
            items.append(None)
        elif kind == "bool":
            items.append(draw(st.booleans()))
        elif kind == "ellipsis":
            if used_ellipsis:
                continue
            used_ellipsis = True
            items.append(Ellipsis)
        elif remaining and not used_ellipsis:
            n = dims[len(shape) - remaining]
            remaining -= 1
            if kind == "int":
                items.append(draw(st.integers(-n, n - 1)))
            elif kind == "slice":
                items.append(
                    slice(
                        draw(st.none() | st.integers(-4, 4)),
                        draw(st.none() | st.integers(-4, 6)),
                        draw(st.integers(1, 2)),
                    )
                )
            elif kind == "mask":
                items.append(torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
            elif kind == "list":
                items.append(draw(st.lists(st.integers(-n, n - 1), min_size=2, max_size=2)))
            else:
                values = draw(st.lists(st.integers(-n, n - 1), min_size=2, max_size=2))
                items.append(torch.tensor(values) if draw(st.booleans()) else torch.tensor(values).reshape(2, 1))
    return shape, tuple(items)


@examples(100)
@given(index_expressions(), st.booleans())
def test_indexing_reads_and_writes_as_torch_does(case, number):
    shape, key = case
    theirs = torch.arange(float(np.prod(shape))).reshape(shape)
    ours = to_flambeau(theirs)
    our_key = tuple(to_flambeau(k) if isinstance(k, torch.Tensor) else k for k in key)
    try:
        expected = theirs[key]
    except (IndexError, RuntimeError):
        with pytest.raises((IndexError, RuntimeError)):
            ours[our_key]
        return
    same(ours[our_key], expected)
    indices = [k for k in key if isinstance(k, (torch.Tensor, list))]
    if len(indices) > 1 or (
        indices and len(set(map(int, torch.as_tensor(indices[0]).flatten() % 2))) > 0 and not number
    ):
        return  # with indices that repeat, which value stays is not defined
    value = torch.tensor(-1.0) if number else torch.full_like(expected, -2.0)
    theirs[key] = value
    ours[our_key] = to_flambeau(value)
    same(ours, theirs)


def test_index_errors_have_torchs_types():
    cases = {
        "int": lambda x, lib: x[3],
        "too many": lambda x, lib: x[0, 0, 0],
        "step": lambda x, lib: x[::-1],
        "float": lambda x, lib: x[1.5],
        "string": lambda x, lib: x["a"],
        "out of range": lambda x, lib: x[lib.tensor([0, 7])],
        "mask shape": lambda x, lib: x[lib.tensor([True, False, True])],
        "scalar": lambda x, lib: x[0, 0][0],
    }
    for name, code in cases.items():
        with pytest.raises((IndexError, ValueError, TypeError)) as theirs:
            code(torch.zeros(2, 3), torch)
        with pytest.raises(theirs.type):
            code(fb.zeros(2, 3), fb)
        assert name


def test_broadcast_error_is_torchs():
    for lib in (fb, torch):
        with pytest.raises(
            RuntimeError,
            match=r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 1",
        ):
            lib.ones(2, 3) + lib.ones(2, 4)


def test_inplace_results_must_fit():
    for lib in (fb, torch):
        with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type"):
            lib.ones(2, dtype=lib.int64).add_(0.5)
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            lib.ones(2).add_(lib.ones(3, 2))
        with pytest.raises(RuntimeError, match="unsupported operation: more than one element"):
            lib.ones(1).expand(3).add_(1)


def test_out_argument():
    def code(lib):
        out = lib.empty(0)
        lib.add(lib.ones(2), 1, out=out)
        held = lib.zeros(2, dtype=lib.float64)
        back = lib.mul(lib.ones(2), 3, out=held)
        return [out, held, back is held]

    same(code(fb), code(torch))


def test_python_protocols():
    def code(lib):
        x = lib.tensor([1, 2, 3])
        return [
            len(x),
            [int(v) for v in x],
            2 in x,
            float(lib.tensor(2.5)),
            bool(lib.tensor(0)),
            list(range(lib.tensor(3))),
            f"{lib.tensor(1.5):.2f}",
        ]

    same(code(fb), code(torch))
    for lib in (fb, torch):
        with pytest.raises(RuntimeError, match="ambiguous"):
            bool(lib.ones(2))
        with pytest.raises(TypeError):
            len(lib.tensor(1))
        with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
            lib.ones(2).item()


def test_device_that_is_not_there():
    assert fb.cuda.is_available() is False and fb.cuda.device_count() == 0
    with pytest.raises(AssertionError, match="CUDA"):
        fb.ones(2).cuda()
    with pytest.raises(RuntimeError):
        fb.device("nonsense")
    assert str(fb.device("cuda:1")) == "cuda:1" and repr(fb.device("cpu")) == "device(type='cpu')"


def test_dtype_conversions_follow_torch():
    values = [300.7, -1.2, 0.0, 127.9]
    for name in ("uint8", "int8", "int16", "int32", "int64", "bool", "float16", "bfloat16", "float64", "complex64"):
        same(fb.tensor(values).to(getattr(fb, name)), torch.tensor(values).to(getattr(torch, name)))


def test_view_as_another_dtype():
    def code(lib):
        x = lib.tensor([[1.0, -2.0], [0.5, 3.0]])
        bits = x.view(lib.int32)
        bytes_ = x.view(lib.uint8)
        bits[0, 0] = 0
        return [x, bits, bytes_, x.view(lib.float64), lib.view_as_complex(x), lib.view_as_real(lib.tensor([1 + 2j]))]

    same(code(fb), code(torch))


def test_parts_of_odd_memory_as_another_dtype():
    """Bytes at the end that make no whole element are left out, and stay as they are."""

    def code(lib):
        octets = lib.arange(13, dtype=lib.uint8)
        octets[:12].view(lib.float32).add_(1)
        octets[4:12].view(lib.int16)[1:].zero_()
        array = np.arange(13, dtype=np.uint8)
        lib.from_numpy(array)[:12].view(lib.int32).add_(1)
        floats = lib.arange(5.0)
        floats[:4].view(lib.complex64).mul_(1j)
        truths = lib.tensor([True, False, True, True, False])
        bits = truths[:4].view(lib.int32)
        return [octets, lib.tensor(array), floats, bits, lib.tensor([1.5, 0.0]).view(lib.bool)]

    same(code(fb), code(torch))


@pytest.mark.parametrize("names", ["float32 float32", "float32 complex64", "complex64 float32", "float32 int32"])
def test_bits_of_another_dtype_have_no_gradient(names: str) -> None:
    """Nor are they a view, though the memory, and its count of writes, is the same."""
    held, read = names.split()

    def code(lib):
        leaf = lib.ones(4, dtype=getattr(lib, held), requires_grad=True)
        inner = leaf * 2
        seen = inner.view(getattr(lib, read))
        told = [seen.requires_grad, seen._is_view(), seen._base is None, seen.grad_fn is None]
        seen.zero_()
        leaf.view(getattr(lib, read)).zero_()
        (inner * leaf).sum().abs().backward()
        return [*told, inner._version, leaf._version, inner.detach(), leaf.grad]

    same(code(fb), code(torch))


WITH_NUMPY = "x+a x-a x*a x/a x**a x@a a/x x==a a==x x!=a x==a[:1] x==a.astype('float64') 2*x+a np.sqrt(x) np.add(x,x) np.isnan(x)"


@pytest.mark.parametrize(
    "expression", [*WITH_NUMPY.split(), "a + x", "x < a", "x == np.array(['a'])", "torch.eq(x, a)"]
)
def test_signs_with_numpy_arrays(expression: str) -> None:
    def run(lib):
        a = np.array([1, 2, 0.5], dtype="float32")
        return eval(expression, {"np": np, "torch": lib, "x": lib.tensor([1.0, 2.0, 4.0]), "a": a})

    ours, theirs = (outcome_of(lambda lib=lib: run(lib)) for lib in (fb, torch))
    assert type(ours).__name__ == type(theirs).__name__, (ours, theirs)
    if isinstance(theirs, torch.Tensor):
        same(ours, theirs)


def outcome_of(code):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's about torch
            return code()
    except Exception as error:
        return error


def test_broadcast_to_takes_a_shape_or_its_numbers():
    for lib in (fb, torch):
        x = lib.ones(2, 1, requires_grad=True)
        made = [x.broadcast_to(2, 3), x.broadcast_to((2, 3)), x.broadcast_to(size=[2, 3]), lib.broadcast_to(x, (2, 3))]
        assert {tuple(y.shape) for y in [*made, lib.broadcast_to(input=x, size=(2, 3))]} == {(2, 3)}
        sum(y.sum() for y in made).backward()
        assert x.grad.tolist() == [[12], [12]]
        with pytest.raises(TypeError, match="size"):
            x.broadcast_to()
