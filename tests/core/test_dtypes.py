"""The dtypes beside the usual ones: floating point numbers of 8 bits, wide unsigned integers, and names without tensors."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch

import flambeau as fb

NARROW = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
OPAQUE = [
    "complex32", "float4_e2m1fn_x2", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "qint8", "quint8", "qint32", "quint4x2",
    "quint2x4", *(f"int{n}" for n in range(1, 8)), *(f"uint{n}" for n in range(1, 8)),
]  # fmt: skip
USUAL = [
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128",
]  # fmt: skip


def told(make, *args):
    """What is printed, or raised."""
    try:
        return repr(make(*args)).replace("flambeau", "torch")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


ASKED = {
    "itself": lambda t, d: d,
    "itemsize": lambda t, d: d.itemsize,
    "floating": lambda t, d: d.is_floating_point,
    "complex": lambda t, d: d.is_complex,
    "signed": lambda t, d: d.is_signed,
    "real": lambda t, d: d.to_real(),
    "to_complex": lambda t, d: d.to_complex(),
    "finfo": lambda t, d: t.finfo(d),
    "class": lambda t, d: isinstance(d, t.dtype),
}


@pytest.mark.parametrize("name", [*USUAL, *NARROW, *OPAQUE])
def test_what_a_dtype_says_of_itself(name):
    theirs, ours = getattr(torch, name), getattr(fb, name)
    for what, ask in ASKED.items():
        if (what, name) == ("finfo", "float4_e2m1fn_x2"):
            continue  # torch's own error is one of its C code
        assert told(ask, fb, ours) == told(ask, torch, theirs), what
    if name in USUAL:
        assert told(lambda: fb.iinfo(ours)) == told(lambda: torch.iinfo(theirs))
    assert pickle.loads(pickle.dumps(ours)) is ours and copy.deepcopy(ours) is ours


@pytest.mark.parametrize("function", ["promote_types", "can_cast"])
def test_python_types_stand_for_dtypes_and_others_are_named(function):
    for given in (
        ("int32", float),
        (int, "int8"),
        (complex, bool),
        (float, float),
        ("int32", 2),
        ("a", "int8"),
        (None, None),
        (str, int),
    ):
        theirs = told(getattr(torch, function), *(getattr(torch, g, g) if isinstance(g, str) else g for g in given))
        ours = told(getattr(fb, function), *(getattr(fb, g, g) if isinstance(g, str) else g for g in given))
        assert ours == theirs, given


@pytest.mark.parametrize("function", ["set_num_threads", "set_num_interop_threads"])
def test_numbers_of_threads(function):
    for wrong in (0, -1, 1.5, "a", True):
        assert told(getattr(fb, function), wrong) == told(getattr(torch, function), wrong)


def test_promotion():
    names = [*USUAL, *NARROW, "complex32"]
    for a in names:
        for b in names:
            theirs = told(torch.promote_types, getattr(torch, a), getattr(torch, b))
            ours = told(fb.promote_types, getattr(fb, a), getattr(fb, b))
            assert ours == theirs, (a, b)


@pytest.mark.parametrize("name", OPAQUE)
@pytest.mark.parametrize(
    "make",
    [
        lambda d: fb.empty(2, dtype=d),
        lambda d: fb.ones(2).to(d),
        lambda d: fb.tensor([1], dtype=d),
        lambda d: fb.zeros(4, dtype=fb.uint8).view(d),
        lambda d: fb.empty(2, dtype=d, device="meta"),
    ],
)
def test_tensors_of_them_are_refused_with_what_to_do(make, name):
    d = getattr(fb, name)
    with pytest.raises(
        NotImplementedError, match=rf"not implemented for '{d.abbr}'.*(torch.uint8|torch.int8|torch.complex64)"
    ):
        make(d)


# --- of 8 bits --------------------------------------------------------------------------------------------------------


def patterns():
    """Float32 numbers: all upper halves, with lower halves at and beside the middle."""
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    return ((np.arange(65536, dtype=np.uint32) << 16)[:, None] + low).reshape(-1).view(np.float32)


@pytest.mark.parametrize("name", NARROW)
def test_conversions_are_bit_for_bit(name):
    x = patterns()
    theirs = torch.from_numpy(x).to(getattr(torch, name)).view(torch.uint8).numpy()
    ours = fb.from_numpy(x).to(getattr(fb, name))
    np.testing.assert_array_equal(ours.view(fb.uint8).numpy(), theirs)
    compiled = fb.compile(lambda v: v.to(getattr(fb, name)).float(), fullgraph=True)
    back = torch.from_numpy(theirs).view(getattr(torch, name)).float().numpy()
    np.testing.assert_array_equal(ours.float().numpy(), back)
    np.testing.assert_array_equal(compiled(fb.from_numpy(x)).numpy(), back)


@pytest.mark.parametrize("source", ["float64", "float16", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("name", NARROW)
def test_conversions_from_and_to_other_dtypes(name, source):
    values = [1, -1.5, 0.3, 448, 460, 1e5, -1e5, 1e-3, 2.0**-9, 57344, 61440, 3, 5.5]

    if source == "int64":  # what infinity is as an integer depends on the processor
        values = [v for v in values if abs(v) < 57345]

    def run(t):
        x = t.tensor(values, dtype=t.float64).to(getattr(t, source)).to(getattr(t, name))
        return x.float().tolist(), x.to(t.float64).tolist(), x.to(getattr(t, source)).to(t.float64).tolist()

    np.testing.assert_array_equal(run(fb), run(torch))


@pytest.mark.parametrize("name", NARROW[:4])
def test_numbers_become_elements(name):
    def run(t):
        d = getattr(t, name)
        made = t.tensor([1.5, 300, -1, 1e6], dtype=d), t.full((2,), 3.0, dtype=d), t.ones(2, dtype=d), t.eye(2, dtype=d)
        x = t.zeros(3, dtype=d)
        x[0] = 2.5
        x[1:] = t.ones(2)
        return repr((*made, x, x.fill_(4.0), t.zeros_like(x), t.full_like(x, 2), x.new_ones(2)))

    assert run(fb) == run(torch)


KEPT = [
    "a.clone()", "a[0]", "a[1:3]", "a[t.tensor([0, 1])]", "a[a.float() > 0]", "t.cat([a, a])", "t.stack([a, a]).shape",
    "a.reshape(2, 3).t()", "a.reshape(2, 3).t().contiguous()", "a == a", "a != a", "a.isnan()", "a.any(), a.all()", "a.roll(1)",
    "a.index_select(0, t.tensor([0]))", "t.where(t.ones(6, dtype=t.bool), a, a)", "a.repeat(2).shape", "a.tolist()", "a[0].item()",
    "float(a[1]), bool(a[1])", "a.view(t.int8)", "a.view(t.float16)", "a.untyped_storage().nbytes()",
    "a.element_size(), a.type(), a.is_floating_point()", "t.nn.Parameter(a)", "t.nn.functional.embedding(t.tensor([0]), a.reshape(2, 3))",
    "a.abs()", "a.split(2)", "t.empty(2, dtype=a.dtype, device='meta')", "t.result_type(a, 1.0)",
]  # fmt: skip
REFUSED = [
    "a + a", "a * 2", "a - 1.0", "a / a", "-a", "a < a", "a > 1", "a.sum()", "a.mean()", "a.max()", "a.exp()", "a + t.ones(6)",
    "t.ones(6) + a", "a * t.ones(6, dtype=t.float16)", "t.isinf(a)", "a.clamp(0, 1)", "t.relu(a)", "a.sigmoid()", "a.sqrt()",
    "a.round()", "a.argmax()", "a.cumsum(0)", "t.softmax(a, 0)", "t.sin(a)", "t.maximum(a, a)", "a.flip(0)", "a.numpy()",
    "a.masked_fill(t.ones(6, dtype=t.bool), 0)", "a.gather(0, t.tensor([0]))", "t.rand(2, dtype=a.dtype)", "t.randn(2, dtype=a.dtype)",
    "t.arange(3, dtype=a.dtype)", "t.set_default_dtype(a.dtype)", "a.reshape(2, 3).tril()", "t.dot(a, a)", "a.sort()", "t.rand_like(a)",
]  # fmt: skip


@pytest.mark.parametrize("text", [*KEPT, *REFUSED])
def test_what_is_kept_and_what_is_refused(text):
    def run(t):
        a = t.tensor([0.0, 1.0, -1.5, 0.3, 448, 460]).to(t.float8_e4m3fn)
        return told(lambda: eval(text, {"t": t, "a": a}))

    theirs, ours = run(torch), run(fb)
    assert theirs in ours if text in REFUSED else theirs == ours, (theirs, ours)


@pytest.mark.parametrize("value", [1e9, -1e9, float("inf"), float("nan"), 448, 57344, 0.3])
@pytest.mark.parametrize("name", NARROW[:4])
def test_numbers_that_do_not_fit(name, value):
    def run(t):
        d = getattr(t, name)
        return told(t.zeros(2, dtype=d).fill_, value)

    def filled(t):
        return told(lambda: t.full((2,), value, dtype=getattr(t, name)))

    assert run(fb).split(": ")[0] == run(torch).split(": ")[0]
    assert filled(fb).split(" without")[0] == filled(torch).split(" without")[0]


def test_gradients_go_through_the_conversion():
    def run(t):
        x = t.tensor([0.3, -2.0, 500.0], requires_grad=True)
        (x.to(t.float8_e4m3fn).float() * t.tensor([1.0, 2.0, 3.0])).sum().backward()
        return x.grad.tolist()

    assert run(fb) == run(torch)


@pytest.mark.parametrize("name", [*NARROW, "uint16", "uint32", "uint64"])
def test_files(name, tmp_path):
    values = torch.arange(16).float().to(getattr(torch, name))
    file = io.BytesIO()
    torch.save({"a": values, "d": values.dtype}, file)
    file.seek(0)
    ours = fb.load(file)
    assert ours["d"] is getattr(fb, name) and ours["a"].dtype is ours["d"] and ours["a"].tolist() == values.tolist()
    file = io.BytesIO()
    fb.save(ours, file)
    file.seek(0)
    theirs = torch.load(file)
    assert theirs["a"].dtype is values.dtype and theirs["a"].tolist() == values.tolist()
    assert pickle.loads(pickle.dumps(ours["a"])).tolist() == values.tolist()
    if "fnuz" not in name:
        safetensors = pytest.importorskip("safetensors.torch")
        from flambeau import checkpoint

        safetensors.save_file({"a": values}, tmp_path / "theirs")
        assert checkpoint.load_safetensors(tmp_path / "theirs")["a"].tolist() == values.tolist()
        checkpoint.save_safetensors({"a": ours["a"]}, tmp_path / "ours")
        assert safetensors.load_file(tmp_path / "ours")["a"].tolist() == values.tolist()
