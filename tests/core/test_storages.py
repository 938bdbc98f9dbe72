"""Storages and addresses: constructors, bytes, aliasing with tensors and files, as torch has them."""

from __future__ import annotations

import copy
import ctypes
import os
import tempfile
import warnings

import numpy as np
import pytest
import torch

import flambeau as fb

# every line is evaluated with both libraries: what it gives (as text) or raises must agree
EXPRESSIONS = """
U()
U(4).nbytes()
U(b"abc")
U([1, 2, 300])
U((1, -1))
U([1.5])
U("abc")
U(range(3))
U(bytearray(b"xy"))
U(2.5)
U(3, device="cpu").nbytes()
U([1, 2], device="cpu")
U(None)
U(t.tensor([1, 2]))
U(U([1, 2, 3]))
U([1, 2, 3])[0], U([1, 2, 3])[-1]
U([1, 2, 3])[3]
U([1, 2, 3])[1:], U([1, 2, 3])[1:1], U([1, 2, 3])[:-1]
U([1, 2, 3])[::2]
U([1, 2, 3])["a"]
list(U([1, 2, 3])), len(U([1, 2, 3])), U([1, 2, 3]).size(), U([1, 2, 3]).tolist(), U([1, 2, 3]).element_size()
U([1, 2, 3]).untyped(), U([1, 2, 3]).clone(), U([1, 2, 3]).cpu(), U([1, 2, 3]).to(device="cpu")
U([1, 2, 3]).fill_(7), U([1, 2, 3]).fill_(300), U([1, 2, 3]).fill_(-1)
U([1, 2, 3]).fill_(1.5)
U([1, 2, 3]).copy_(U([4, 5, 6]))
U([1, 2, 3]).copy_(U([4, 5]))
U([1, 2, 3]).copy_([4, 5, 6])
U([1, 2, 3]).device, U([1, 2, 3]).get_device(), U([1, 2, 3]).is_cuda, U([1, 2, 3]).is_sparse, U([1, 2, 3]).is_pinned()
U([1, 2, 3]).is_shared(), U([1, 2, 3]).resizable(), U([1, 2, 3]).filename, U([1, 2, 3]).type(), U([1, 2, 3]).new()
U([1, 2, 3]).resize_(5).nbytes(), U([1, 2, 3]).resize_(2)
[getattr(U([1, 0, 3, 0]), k)() for k in "float double half bfloat16 int long short char byte bool complex_float".split()]
U([1, 2]) == U([1, 2]), (lambda x: x.untyped_storage() == x[1:].untyped_storage())(t.ones(3))
copy.copy(U([1, 2, 3])), copy.deepcopy(U([1, 2, 3]))
U.from_buffer(b"abcd", dtype=t.uint8), U.from_buffer(b"abcd", dtype=t.uint8, count=2, offset=1)
U.from_buffer(b"abcd", dtype=t.int16, byte_order="big"), U.from_buffer(b"abcd", dtype=t.int16, byte_order="little")
U.from_buffer(b"abcd", dtype=t.int16, byte_order="big", offset=2), U.from_buffer(b"", dtype=t.int16, byte_order="big")
U.from_buffer(b"abcd")
U.from_buffer(b"abcde", dtype=t.int16, byte_order="native")
U.from_buffer(b"abcd", dtype=t.int16, byte_order="native", count=3)
U.from_buffer(b"abcd", dtype=t.int16, byte_order="x")
[swapped(U(bytes(range(8))), d) for d in (t.int16, t.float32, t.complex64, t.uint8, t.float64)]
swapped(U([1, 2, 3]), t.int16)
put(U([1, 2, 3]), 1, 9), put(U([1, 2, 3]), 0, 300), put(U([1, 2, 3]), slice(1, 3), 9)
put(U([1, 2, 3]), 5, 9)
put(U([1, 2, 3]), 0, 1.5)
put(U([1, 2, 3]), "a", 1)
T(), T([1, 2, 3]), T([1.5, 2], dtype=t.float64), T(dtype=t.int32), T(4, dtype=t.int32).nbytes()
T("a")
T(1, 2)
T(wrap_storage=U([0, 0, 128, 63]), dtype=t.float32)
T(wrap_storage=U([0, 0, 128, 63]))
T(wrap_storage=[1], dtype=t.float32)
T([1.0, 2.0])[0], T([1.0, 2.0])[-1], len(T([1.0, 2.0])), list(T([1.0, 2.0])), T([1.0, 2.0]).element_size()
T([1.0, 2.0])[2]
T([1.0, 2.0])[0:1]
put(T([1.0, 2.0]), 0, 9), put(T([1.0, 2.0]), slice(0, 2), 9), put(T([1, 2], dtype=t.int32), 0, 1.5)
put(T([1.0, 2.0]), 4, 9)
T([1.0, 2.0]).type(), T([1.0, 2.0]).pickle_storage_type(), T([1.0, 2.0]).clone(), T([1.0, 2.0]).fill_(3)
T([1.0, 2.0]).copy_(T([3.0, 4.0])), T([1.0, 2.0]).untyped(), T([1.0, 2.0]).cpu(), T([1.0, 2.0]).to(device="cpu")
T([1.0, 2.0]).copy_(T([3.0]))
[getattr(T([1.5, 2]), k)() for k in "float double half bfloat16 int long short char byte bool complex_double".split()]
copy.copy(T([1.0, 2.0])), copy.deepcopy(T([1.0, 2.0]))
T.from_buffer(b"abcd", dtype=t.int16, byte_order="big")
T.from_buffer(b"abcd")
t.FloatStorage(), t.FloatStorage([1, 2, 3]), t.LongStorage([1, 2]), t.BoolStorage([1, 0]), t.ComplexFloatStorage([1, 2j])
t.FloatStorage.dtype, t.FloatStorage.from_buffer(b"abcdefgh", "little"), issubclass(t.FloatStorage, T)
isinstance(t.FloatStorage([1.0]), t.FloatStorage), isinstance(T([1.0]), t.FloatStorage)
isinstance(T([1.0]), t.DoubleStorage), isinstance(t.ones(2).storage(), t.FloatStorage), type(t.ones(2).storage())
t.ones(2).storage_type(), t.is_storage(U(3)), t.is_storage(T(3)), t.is_storage(3)
[x.untyped_storage() for x in (t.ones(2), t.arange(3, dtype=t.int16)[1:], t.tensor(True), t.ones(1, dtype=t.bfloat16))]
[x.storage() for x in (t.ones(2), t.arange(3, dtype=t.int16)[1:], t.tensor(True), t.arange(6.0).reshape(2, 3).t())]
t.asarray(U([1, 2, 3]), dtype=t.uint8), t.asarray(U([1, 2, 3])), t.asarray(T([1.0, 2.0]))
t.asarray(U([0, 0, 128, 63]), dtype=t.float32), t.tensor(U([1, 2, 3]), dtype=t.uint8), t.tensor(T([1.0, 2.0]))
t.as_tensor(T([1.0, 2.0])), t.Tensor(T([1.0, 2.0])), t.Tensor(U([0, 0, 128, 63])), t.FloatTensor(U([0, 0, 128, 63]))
t.ByteTensor(U([1, 2, 3])), t.FloatTensor(t.FloatStorage([1, 2, 3]))
f32().set_(U([0, 0, 128, 63]), 0, (1,), (1,)), f32().set_(U([0, 0, 128, 63])), f32().set_(T([1.0, 2.0]), 1, (1,), (1,))
t.tensor([], dtype=t.float64).set_(T([1.0, 2.0]))
t.empty(0).data_ptr(), t.ones(3)[3:].data_ptr(), U(0).data_ptr(), U([1]).data_ptr() != 0
U.from_file("/nonexistent/x", False, 3)
T.from_file("/nonexistent/x", False, 3)
""".strip().splitlines()


def both(code) -> tuple[str, str]:
    """What `code(library)` gives, as text with torch's names, under both."""
    texts = []
    for library in (torch, fb):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls typed storages old
            try:
                text = repr(code(library))
            except Exception as e:
                text = f"{type(e).__name__}: {e}"
        texts.append(text.replace("flambeau", "torch"))
    return texts[0], texts[1]


def put(storage, index, value):
    storage[index] = value
    return storage


def swapped(storage, dtype):
    storage.byteswap(dtype)
    return storage


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    def code(t):
        names = {"U": t.UntypedStorage, "T": t.TypedStorage, "f32": lambda: t.tensor([]), "t": t}
        return eval(expression, {**names, "put": put, "swapped": swapped, "copy": copy})

    theirs, ours = both(code)
    assert ours == theirs


# --- aliasing ---------------------------------------------------------------------------------------------------------


def tensor_then_storage(t):
    x = t.arange(4.0)
    s = x.untyped_storage()
    x[0] = 5
    seen = s.tolist()
    s[3] = 0
    s[2] = 0
    return seen, x, x[1:], x.sum()


def storage_then_tensors(t):
    s = t.UntypedStorage([0, 0, 128, 63, 0, 0, 0, 64])
    x = t.empty(0).set_(s, 0, (2,), (1,))
    y = t.tensor([], dtype=t.uint8).set_(s, 0, (8,), (1,))
    x[0] = 3
    y[7] = 65
    s[4] = 1
    return s, x, y, x.untyped_storage() == s, y.storage_offset()


def typed_storage(t):
    x = t.arange(4.0)
    s = x.storage()
    x[0] = 5
    seen = s.tolist()
    s[1] = 7.5
    s.untyped().copy_(s.clone().untyped())
    return seen, x, x.view(2, 2), s.fill_(2), x


def numpy_too(t):
    x = t.arange(4.0)
    s, n = x.untyped_storage(), x.numpy()
    n[0] = 9
    seen = s.tolist()
    s.fill_(0)
    n[1] = 3
    return seen, n.tolist(), x, s, x + 1, s[7]


def slices(t):
    s = t.UntypedStorage([1, 2, 3, 4])
    x = t.asarray(s[1:3], dtype=t.uint8)
    inner = s[1:3][1:]
    x[0] = 9
    seen = s.tolist()
    s[2] = 8
    inner.fill_(inner[0] + 1)
    return seen, x, x + 1, s, x.storage_offset(), x.untyped_storage().nbytes(), inner, s[1:].data_ptr() - s.data_ptr()


def slices_of_a_tensor(t):
    x = t.arange(4.0)
    y = t.empty(0).set_(x.untyped_storage()[4:12])
    y.mul_(10)
    x.add_(1)
    total = (x + y.sum()).tolist()
    del x
    y.add_(1)
    return y, y * 2, total


def slices_that_outlive_the_whole(t):
    s = t.UntypedStorage(bytes(range(16)))
    parts = [t.asarray(s[i : i + 8], dtype=t.uint8) for i in (0, 4, 8)]
    del s
    parts[0] += 100  # the first half of the second one, too
    first = [p.tolist() for p in parts]
    del parts[1]
    parts[0].zero_()
    return first, parts, [p + 1 for p in parts], [p.view(t.int32) for p in parts]


def typed_looks(t):
    s = t.UntypedStorage(16)
    bytes_of = t.asarray(s, dtype=t.uint8)
    floats = bytes_of.view(t.float32)
    floats.copy_(t.arange(4.0))
    doubles = t.tensor([], dtype=t.float64).set_(s)
    parameter = t.nn.Parameter(floats.view(2, 2))
    (parameter * 2).sum().backward()
    with t.no_grad():
        parameter -= parameter.grad
    return s, bytes_of, floats, doubles, parameter, floats.numpy(), parameter.grad


def bits_with_numpy(t):
    x = t.arange(2, dtype=t.int32)
    n = x.view(t.int16).numpy()
    n[0] = 7
    x += 1
    return x, n.tolist()


def copies(t):
    x = t.arange(3.0)
    s = x.untyped_storage()
    y, z = copy.deepcopy([x, s])
    y[0] = 9
    return x, y, z, s, z == y.untyped_storage(), copy.copy(s) == s


ALIASES = [
    tensor_then_storage, storage_then_tensors, typed_storage, numpy_too, slices, slices_of_a_tensor,
    slices_that_outlive_the_whole, typed_looks, bits_with_numpy, copies,
]  # fmt: skip


@pytest.mark.parametrize("code", ALIASES, ids=lambda f: f.__name__)
def test_aliasing(code):
    theirs, ours = both(code)
    assert ours == theirs


@pytest.mark.parametrize("shared, count", [(False, 8), (False, 4), (True, 8), (True, 40)])
def test_files(shared, count):
    def code(t):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/x"
            with open(path, "wb") as file:
                file.write(bytes(range(8)))
            s = t.UntypedStorage.from_file(path, shared, count)
            seen = [s.tolist(), s.nbytes(), s.filename == path, s.is_shared(), s.resizable()]
            x = t.asarray(s, dtype=t.uint8)
            part = t.asarray(s[1:3], dtype=t.uint8)
            s[0] = 99
            x[1] = 98
            part[1] = 97
            with open(path, "rb") as file:
                seen += [list(file.read()), os.path.getsize(path)]
            del s, part
            return [*seen, x, x + 1, x.sum()]

    theirs, ours = both(code)
    assert ours == theirs


def test_tensors_from_files(tmp_path):
    path = str(tmp_path / "x")

    def code(t):
        np.arange(4, dtype=np.float32).tofile(path)
        one, two = t.from_file(path, size=4), t.from_file(path, shared=True, size=2)
        one[0] = 7
        two[1] = 8
        three = t.FloatStorage.from_file(path, False, 3)
        return (
            one,
            two,
            two * 2,
            three,
            np.fromfile(path, np.float32).tolist(),
            t.from_file(path, size=4, dtype=t.int32, device="cpu", layout=t.strided, pin_memory=False),
        )

    theirs, ours = both(code)
    assert ours == theirs
    with pytest.raises(RuntimeError, match="size <16> is smaller than the required mapping size <20>"):
        fb.from_file(path, size=5)
    for library in (torch, fb):
        with pytest.raises(RuntimeError, match="tensors constructed from a file cannot be pinned"):
            library.from_file(path, size=4, pin_memory=True)
        for wrong in ({"device": "meta"}, {"layout": library.sparse_coo}):
            with pytest.raises(NotImplementedError, match="aten::from_file"):
                library.from_file(path, size=4, **wrong)


def test_a_file_that_a_storage_maps_can_be_saved_over(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(200)) * 100)
    x = fb.asarray(fb.UntypedStorage.from_file(str(path), False, 20_000), dtype=fb.uint8)
    fb.save(fb.ones(1), path)
    assert x.tolist() == list(range(200)) * 100


def test_what_cannot_be_done_says_so():
    x = fb.ones(3)
    for refused in ("_share_fd_cpu_", "_share_filename_cpu_", "share_memory_", "_new_shared"):
        with pytest.raises(RuntimeError, match="no memory is shared between processes"):
            getattr(x.untyped_storage(), refused)()
    with pytest.raises(RuntimeError, match="not resizable"):
        x.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 3"):
        fb.tensor([], dtype=fb.uint8).set_(fb.UntypedStorage(3), 2, (2,), (1,))


# --- addresses --------------------------------------------------------------------------------------------------------


def at(tensor) -> bytes:
    """What lies from the tensor's first element to the end of its storage."""
    count = tensor.untyped_storage().nbytes() - tensor.storage_offset() * tensor.element_size()
    return ctypes.string_at(tensor.data_ptr(), count)


MADE = [
    lambda t: t.arange(5.0),
    lambda t: t.arange(5.0)[2:],
    lambda t: t.arange(5, dtype=t.int16)[2:].clone(),
    lambda t: t.tensor([True, False, True]),
    lambda t: t.full((3,), 3, dtype=t.bfloat16),
    lambda t: t.arange(6.0).reshape(2, 3).t(),
    lambda t: t.arange(6.0).reshape(2, 3).t().contiguous(),
    lambda t: t.arange(4, dtype=t.int32).view(t.int8)[4:],
    lambda t: t.tensor(3.5),
    lambda t: t.eye(2, dtype=t.complex64),
    lambda t: t.from_numpy(np.arange(4.0)),
    lambda t: t.nn.functional.conv2d(t.ones(2, 3, 8, 8), t.ones(4, 3, 3, 3)),
    lambda t: t.ones(1000, 100) * 2,
    lambda t: t.arange(4.0).chunk(2)[1],
    lambda t: t.ones(3).expand(2, 3),
    lambda t: t.nn.Parameter(t.arange(3.0)),
    lambda t: t.frombuffer(bytearray(b"abcd"), dtype=t.uint8)[1:],
]


@pytest.mark.parametrize("number", range(len(MADE)))
def test_what_lies_at_an_address(number):
    assert at(MADE[number](fb)) == at(MADE[number](torch))


def steps(t):
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 1))
    tensors = [*model.parameters(), *model.buffers()]
    before = [p.data_ptr() for p in tensors]
    optimizer = t.optim.Adam(model.parameters())
    for _ in range(3):
        loss = model(t.ones(2, 3)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    same = [p.data_ptr() == b for p, b in zip(tensors, before, strict=True)]
    return same, len(set(before)) == len(before), [at(p) == p.detach().numpy().tobytes() for p in tensors]


def relations(t):
    x = t.ones(3, 3)
    others = [
        x.clone(),
        x.t().contiguous(),
        x + 0,
        copy.deepcopy(x),
        x.double(),
        t.ones(3, 3),
        x.new_tensor(x.tolist()),
    ]
    seen = [other.data_ptr() == x.data_ptr() for other in others]
    views = [x.view(-1), x.detach(), x.contiguous(), x.data, x.t(), x[:], t.nn.Parameter(x), x.float()]
    seen += [view.data_ptr() == x.data_ptr() for view in views]
    return (
        seen,
        x[1:].data_ptr() - x.data_ptr(),
        x[:, 1].data_ptr() - x.data_ptr(),
        x.numpy().ctypes.data == x.data_ptr(),
    )


def in_place(t):
    x = t.arange(3.0)
    view = x[1:]
    places = x.data_ptr(), view.data_ptr()
    seen = []
    for change in (
        lambda: x.add_(1),
        lambda: x.zero_(),
        lambda: x.copy_(t.ones(3)),
        lambda: view.mul_(3),
        lambda: x.exp_(),
    ):
        change()
        seen += [(x.data_ptr(), view.data_ptr()) == places, x]
    return seen


def written_through_an_address(t):
    x = t.arange(3.0)
    y = x.clone()
    for value in (42.0, 43.0):
        (ctypes.c_float * 3).from_address(x.data_ptr())[1] = value
        x.mul_(2)
    return x, y, x[1], x[1:], x + 1


ADDRESSES = [steps, relations, in_place, written_through_an_address]


@pytest.mark.parametrize("code", ADDRESSES, ids=lambda f: f.__name__)
def test_addresses(code):
    theirs, ours = both(code)
    assert ours == theirs


def test_an_address_is_not_known_while_compiling():
    compiled = fb.compile(lambda x: x * x.data_ptr(), fullgraph=True)
    with pytest.raises(RuntimeError, match="address of a tensor's memory is not known"):
        compiled(fb.ones(3))
    with pytest.raises(RuntimeError, match="not known inside a transform"):
        fb.vmap(lambda x: x * (x + 1).data_ptr())(fb.ones(3))


def test_a_compiled_step_and_addresses():
    model = fb.nn.Linear(3, 2)
    optimizer = fb.optim.Adam(model.parameters())

    @fb.compile
    def step(x):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(6):
        step(fb.ones(4, 3))
        for p in [*model.parameters(), *(v for state in optimizer.state.values() for v in state.values())]:
            assert at(p) == p.detach().numpy().tobytes()
