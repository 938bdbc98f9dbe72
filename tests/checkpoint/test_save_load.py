"""torch writes and we read, we write and torch reads: values, sharing, strides, flags."""

from __future__ import annotations

import collections
import io
import pathlib
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau import checkpoint
from support.values import same

DTYPES = "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64".split()
DTYPES += "float16 bfloat16 float32 float64 complex64 complex128".split()
NARROW = "float8_e4m3fn float8_e5m2 float8_e8m0fnu".split()  # what NumPy has no form of is compared as bytes


def written_by_torch(obj, **kwargs):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(obj, file, **kwargs)
    file.seek(0)
    return file


def written_by_us(obj, **kwargs):
    file = io.BytesIO()
    checkpoint.save(obj, file, **kwargs)
    file.seek(0)
    return file


def theirs_to_ours(obj, **kwargs):
    return checkpoint.load(written_by_torch(obj, **kwargs))


def ours_to_theirs(obj, **kwargs):
    return torch.load(written_by_us(obj, **kwargs), weights_only=True)


def sample(dtype: str) -> torch.Tensor:
    return torch.tensor([[0, 1, 2], [1, 0, 100]]).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", DTYPES + NARROW)
@pytest.mark.parametrize("zipped", [True, False])
def test_dtypes(dtype, zipped):
    tensor = sample(dtype)

    def alike(ours):
        assert str(ours.dtype) == str(tensor.dtype)
        same(ours.view(fb.uint8), tensor.view(torch.uint8)) if dtype in NARROW else same(ours, tensor)

    ours = theirs_to_ours(tensor, _use_new_zipfile_serialization=zipped)
    alike(ours)
    # torch can't read its own legacy file of uint16, or of 8-bit floats, and reads ours
    again = ours_to_theirs({"part": ours[1:], "all": ours}, _use_new_zipfile_serialization=zipped)
    for got, wanted in ((again["part"], tensor[1:]), (again["all"], tensor)):
        assert torch.equal(got.contiguous().view(torch.uint8), wanted.contiguous().view(torch.uint8))
        assert got.dtype == tensor.dtype and got.untyped_storage().nbytes() == tensor.untyped_storage().nbytes()
    alike(checkpoint.load(written_by_us(ours, _use_new_zipfile_serialization=zipped)))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 0, 3), (2, 3, 4)])
def test_shapes(shape):
    tensor = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    ours = theirs_to_ours(tensor)
    same(ours, tensor)
    assert ours.stride() == tensor.stride()
    again = ours_to_theirs(ours)
    assert torch.equal(again, tensor) and again.shape == tensor.shape


VIEWS = {
    "transposed": lambda x: x.t(),
    "row": lambda x: x[2],
    "column": lambda x: x[:, 3],
    "steps": lambda x: x[1::2, ::3],
    "element": lambda x: x[1, 1],
    "expanded": lambda x: x[0].expand(5, 6),
    "windows": lambda x: x.reshape(-1).unfold(0, 4, 2),
    "empty": lambda x: x[3:3],
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_keep_their_geometry(view):
    base = torch.arange(24.0).reshape(4, 6)
    theirs = VIEWS[view](base)
    ours = theirs_to_ours(theirs)
    same(ours, theirs)
    assert (ours.stride(), ours.storage_offset()) == (theirs.stride(), theirs.storage_offset())
    again = ours_to_theirs(ours)
    assert torch.equal(again, theirs) and again.stride() == theirs.stride()


def test_only_what_is_referred_to_is_written():
    big = theirs_to_ours(torch.arange(100_000.0))
    file = written_by_us([big[10:20], big[15:30:3], big[40_000:40_000]])
    assert len(file.getvalue()) < 3000
    a, b, empty = torch.load(file, weights_only=True)
    assert torch.equal(a, torch.arange(10.0, 20.0)) and torch.equal(b, torch.arange(15.0, 30.0, 3))
    assert a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
    assert a.untyped_storage().nbytes() == 18 * 4  # from 10 to 27
    assert (a.storage_offset(), b.storage_offset(), empty.shape) == (0, 5, (0,))


@pytest.mark.parametrize("zipped", [True, False])
def test_sharing(zipped):
    base = torch.arange(12.0)
    parameter = torch.nn.Parameter(base.clone())
    obj = {"whole": base, "part": base[3:7], "again": base, "tied": [parameter, parameter], "data": parameter.data}
    ours = theirs_to_ours(obj, _use_new_zipfile_serialization=zipped)
    assert ours["whole"] is ours["again"] and ours["tied"][0] is ours["tied"][1]
    ours["part"].zero_()
    assert ours["whole"].tolist() == [0, 1, 2, 0, 0, 0, 0, 7, 8, 9, 10, 11]
    assert ours["data"]._storage is ours["tied"][0]._storage
    again = ours_to_theirs(ours, _use_new_zipfile_serialization=zipped)
    assert again["whole"] is again["again"] and again["tied"][0] is again["tied"][1]
    again["part"].fill_(5)
    assert again["whole"].tolist() == [0, 1, 2, 5, 5, 5, 5, 7, 8, 9, 10, 11]
    with torch.no_grad():
        again["data"].fill_(1)
    assert again["tied"][0].tolist() == [1] * 12


def test_views_of_other_bits():
    x = theirs_to_ours(torch.tensor([1.0, 2.0]))
    ints = x.view(fb.int32)
    whole, part = ours_to_theirs([ints, ints[1:]])
    assert whole.tolist() == [0x3F800000, 0x40000000] and part.tolist() == [0x40000000]
    assert whole[1:].data_ptr() == part.data_ptr()
    empty = fb.ones(0)
    assert [t.dtype for t in ours_to_theirs([empty, empty.view(fb.int32)])] == [torch.float32, torch.int32]
    for both in (
        [x, ints],
        [ints, x],
        [x, x.untyped_storage()],
        [x.untyped_storage(), x],
    ):  # what is shared can't be kept
        with pytest.raises(
            RuntimeError, match=r"^Cannot save multiple tensors or storages that view the same data as diff"
        ):
            checkpoint.save(both, io.BytesIO())


def test_names_of_formats():
    formats = [fb.channels_last, fb.preserve_format, fb.per_tensor_affine, fb.sparse_csr, fb.complex32]
    file = io.BytesIO()
    checkpoint.save(formats, file)
    file.seek(0)
    assert all(a is b for a, b in zip(checkpoint.load(file), formats, strict=True))
    assert ours_to_theirs(fb.per_channel_affine) is torch.per_channel_affine


def test_flags_and_attributes():
    leaf = torch.ones(2, requires_grad=True)
    frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    noted = torch.ones(1)
    noted.note = ["a", {"b": 1}]
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.tag = 7
    obj = [leaf, leaf * 2, frozen, noted, parameter, torch.nn.Buffer(torch.ones(2), persistent=False)]
    ours = theirs_to_ours(obj)
    assert [t.requires_grad for t in ours] == [True, True, False, False, True, False]
    assert ours[1].is_leaf
    assert [type(t).__name__ for t in ours] == ["Tensor", "Tensor", "Parameter", "Tensor", "Parameter", "Tensor"]
    assert ours[3].note == ["a", {"b": 1}] and ours[4].tag == 7 and ours[5].persistent is False
    again = ours_to_theirs(ours)
    assert [t.requires_grad for t in again] == [True, True, False, False, True, False]
    assert [type(t) for t in again] == [type(t) for t in obj]
    assert again[3].note == ["a", {"b": 1}] and again[4].tag == 7 and isinstance(again[5], torch.nn.Buffer)


def test_lazy_conjugation_and_negation():
    z = torch.tensor([1 + 2j, 3 - 4j])
    obj = [z.conj(), z.clone().conj().imag, z]
    ours = theirs_to_ours(obj)
    assert [t.tolist() for t in ours] == [[1 - 2j, 3 + 4j], [-2, 4], [1 + 2j, 3 - 4j]]


PLAIN = {
    "numbers": [
        1,
        -1,
        255,
        256,
        65536,
        -(2**31),
        2**31,
        2**100,
        -(2**100),
        1.5,
        float("inf"),
        1 + 2j,
        True,
        False,
        None,
    ],
    "text": ["", "a", "é", "x" * 300, "\ud800", "line\nbreak"],
    "bytes": [b"abc", bytes(range(256)), bytearray(b"xy")],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {1, 2}, {"a": {"b": [1]}}, {1: 2, (1, "x"): 3}],
    "collections": [collections.OrderedDict(b=1, a=2), collections.Counter("aab")],
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_data(kind):
    obj = PLAIN[kind]
    assert theirs_to_ours(obj) == obj
    assert ours_to_theirs(obj) == obj
    for protocol in (2, 3, 4, 5):
        assert checkpoint.load(written_by_us(obj, pickle_protocol=protocol)) == obj
        assert theirs_to_ours(obj, pickle_protocol=protocol) == obj


def test_more_plain_data_than_torch_reads():
    obj = [
        b"",
        frozenset([1]),
        collections.defaultdict(list, {1: [2]}),
        collections.deque([1], 3),
        range(3),
        slice(1, 2),
    ]
    ours = theirs_to_ours(obj)
    assert ours == obj and ours[2].default_factory is list and ours[3].maxlen == 3
    arrays = [np.float64(1.5), np.bool_(True), np.arange(6).reshape(2, 3).T, np.ones(2, ">f4"), np.array(["ab"])]
    for protocol in (2, 4, 5):
        for mine, numpys in zip(theirs_to_ours(arrays, pickle_protocol=protocol), arrays, strict=True):
            assert type(mine) is type(numpys) and mine.dtype.newbyteorder("=") == numpys.dtype.newbyteorder("=")
            np.testing.assert_array_equal(mine, numpys)


def test_torch_values():
    obj = [torch.Size([1, 2]), torch.float64, torch.device("cpu"), torch.device("cuda", 1), torch.long, torch.strided]
    ours = theirs_to_ours(obj)
    assert ours[:5] == [fb.Size([1, 2]), fb.float64, fb.device("cpu"), fb.device("cuda", 1), fb.int64]
    assert type(ours[0]) is fb.Size
    again = ours_to_theirs(ours[:5])
    assert again == obj[:5] and type(again[0]) is torch.Size


def test_cycles():
    loop = [1]
    loop.append(loop)
    ours = theirs_to_ours(loop)
    assert ours[1] is ours
    again = ours_to_theirs(ours)
    assert again[1] is again


def test_state_dict_and_optimizer_state():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    obj = {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": 0.25}
    ours = theirs_to_ours(obj)
    same(ours, obj)
    assert type(ours["model"]) is collections.OrderedDict
    assert ours["model"]._metadata == obj["model"]._metadata
    again = ours_to_theirs(ours)
    assert again["model"]._metadata == obj["model"]._metadata
    model.load_state_dict(again["model"])
    optimizer.load_state_dict(again["optimizer"])
    same(ours, again)


def test_paths_and_files(tmp_path):
    x = theirs_to_ours(torch.arange(3.0))
    for path in (tmp_path / "model.v1.pt", str(tmp_path / "noext"), tmp_path / "ünï.pt", tmp_path / ".hidden"):
        checkpoint.save(x, path)
        assert checkpoint.load(path).tolist() == torch.load(path).tolist() == [0, 1, 2]
    folders = [zipfile.ZipFile(tmp_path / n).namelist()[0] for n in ("model.v1.pt", "noext", "ünï.pt", ".hidden")]
    assert folders == ["model.v1/data.pkl", "noext/data.pkl", "archive/data.pkl", "archive/data.pkl"]
    with open(tmp_path / "open.pt", "wb") as file:
        checkpoint.save(x, file)
    with open(tmp_path / "open.pt", "rb") as file:
        assert checkpoint.load(file).tolist() == [0, 1, 2]
    assert isinstance(tmp_path, pathlib.Path)


def test_the_archive_is_as_torch_has_it():
    x = theirs_to_ours(torch.arange(100.0))
    ours, theirs = written_by_us([x, x.int()]), written_by_torch([torch.arange(100.0), torch.arange(100)])
    with zipfile.ZipFile(ours) as archive, zipfile.ZipFile(theirs) as reference:
        assert archive.namelist() == reference.namelist()
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            header = ours.getvalue()[info.header_offset + 26 : info.header_offset + 30]
            start = (
                info.header_offset + 30 + int.from_bytes(header[:2], "little") + int.from_bytes(header[2:], "little")
            )
            assert start % 64 == 0
        for name in ("byteorder", "version", ".format_version", ".storage_alignment"):
            assert archive.read(f"archive/{name}") == reference.read(f"archive/{name}")


def test_consecutive_legacy_objects_in_a_file():
    file = io.BytesIO()
    torch.save(torch.ones(2), file, _use_new_zipfile_serialization=False)
    checkpoint.save({"b": theirs_to_ours(torch.zeros(3))}, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert checkpoint.load(file).tolist() == [1, 1]
    assert checkpoint.load(file)["b"].tolist() == [0, 0, 0]
    with pytest.raises(EOFError):
        checkpoint.load(file)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "complex64"])
def test_mmap(tmp_path, dtype):
    path = tmp_path / "x.pt"
    obj = {"x": sample(dtype), "y": sample(dtype)[:, 1:]}
    torch.save(obj, path)
    ours = checkpoint.load(path, mmap=True)
    same(ours, obj)
    ours["x"].zero_()  # a copy is written to, never the file
    same(checkpoint.load(path), obj)


def test_mmap_needs_a_zip_file_on_disk(tmp_path):
    with pytest.raises(ValueError, match="path"):
        checkpoint.load(written_by_torch(1), mmap=True)
    torch.save(1, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        checkpoint.load(tmp_path / "old.pt", mmap=True)


def test_map_location():
    file = written_by_torch([torch.ones(2), torch.zeros(3)])
    seen = []

    def note(storage, location):
        seen.append((storage.nbytes(), location))
        return storage

    for where in (None, "cpu", fb.device("cpu"), {"cpu": "cpu"}, {}, note, lambda storage, location: None):
        file.seek(0)
        assert checkpoint.load(file, map_location=where)[1].tolist() == [0, 0, 0]
    assert seen == [(8, "cpu"), (12, "cpu")]
    for where, kind, text in (
        (5, TypeError, "map_location"),
        ("nonsense", RuntimeError, "don't know how to restore"),
        (lambda storage, location: 3, TypeError, "should return the storage"),
    ):
        file.seek(0)
        with pytest.raises(kind, match=text):
            checkpoint.load(file, map_location=where)
    if not fb.core.array.devices.jax_devices("cuda"):
        file.seek(0)
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
            checkpoint.load(file, map_location="cuda:0")


def test_a_file_from_a_gpu():
    theirs = written_by_torch(torch.ones(2)).getvalue()
    file = io.BytesIO()
    checkpoint_writer = zipfile.ZipFile(file, "w")
    with zipfile.ZipFile(io.BytesIO(theirs)) as archive, checkpoint_writer:
        for name in archive.namelist():
            data = archive.read(name).replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            checkpoint_writer.writestr(name, data)
    file.seek(0)
    assert checkpoint.load(file, map_location="cpu").tolist() == [1, 1]
    file.seek(0)
    assert checkpoint.load(file, map_location={"cuda:0": "cpu"}).tolist() == [1, 1]


def test_big_endian_files():
    values = torch.tensor([1.0, -2.5, 3e10])
    theirs = written_by_torch([values, values.to(torch.complex64), values.bfloat16()])
    file = io.BytesIO()
    with zipfile.ZipFile(theirs) as archive, zipfile.ZipFile(file, "w") as swapped:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif "/data/" in name:
                unit = {24: "u4", 12: "u4", 6: "u2"}[len(data)]
                data = np.frombuffer(data, unit).byteswap().tobytes()
            swapped.writestr(name, data)
    file.seek(0)
    ours = checkpoint.load(file)
    assert ours[0].tolist() == values.tolist()
    assert ours[1].tolist() == values.to(torch.complex64).tolist()
    assert ours[2].tolist() == values.bfloat16().tolist()


def test_recompressed_archives_are_read():
    theirs, file = written_by_torch(torch.arange(1000.0)), io.BytesIO()
    with zipfile.ZipFile(theirs) as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    file.seek(0)
    assert checkpoint.load(file).tolist() == list(range(1000))


def test_files_without_checksums():
    try:
        torch.serialization.set_crc32_options(False)
        file = written_by_torch(torch.ones(3))
    finally:
        torch.serialization.set_crc32_options(True)
    assert checkpoint.load(file).tolist() == [1, 1, 1]


def test_errors_of_save(tmp_path):
    with pytest.raises(RuntimeError, match="does not exist"):
        checkpoint.save(1, tmp_path / "no" / "x.pt")
    with pytest.raises(AttributeError, match="write"):
        checkpoint.save(1, 5)
    path = tmp_path / "kept.pt"
    checkpoint.save(1, path)
    with pytest.raises((AttributeError, TypeError, Exception), match="pickle"):
        checkpoint.save(lambda: 0, path)
    assert checkpoint.load(path) == 1


def test_errors_of_load(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "missing.pt")
    with pytest.raises(IsADirectoryError):
        checkpoint.load(tmp_path)
    for data, mode, kind, text in [
        (io.StringIO("text"), True, AssertionError, "Expected bytes, got str"),
        (io.StringIO("text"), False, TypeError, "a bytes-like object is required, not 'str'"),
        (b"PK\3\4", True, RuntimeError, "PytorchStreamReader failed reading zip archive: not a ZIP archive"),
        (b"PK\3\4" * 9, True, RuntimeError, "PytorchStreamReader failed .* failed finding central directory"),
        (b"", True, EOFError, "Ran out of input"),
        (b"x", True, pickle.UnpicklingError, "^Weights only load failed. .*Unsupported operand 120"),
        (pickle.dumps({1: 2}, 2), True, RuntimeError, "^Invalid magic number; corrupt file?"),
    ]:
        with pytest.raises(kind, match=text):
            checkpoint.load(io.BytesIO(data) if isinstance(data, bytes) else data, weights_only=mode)
    with pytest.raises(AttributeError, match="seekable"):
        checkpoint.load(5)
    with pytest.raises(RuntimeError, match="pickle_module"):
        checkpoint.load(written_by_torch(1), pickle_module=pickle, weights_only=True)
    with pytest.warns(UserWarning, match="weights_only=False"):
        checkpoint.load(written_by_torch(1), weights_only=True, encoding="latin1")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "dequantize"),
        (lambda: torch.ones(2).to(torch.complex32), "Use torch.complex64"),
        (
            lambda: torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
            "Keep the bytes in a tensor of torch.uint8",
        ),
    ],
)
def test_what_flambeau_does_not_have(make, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = make()
    for weights_only in (True, False):
        with pytest.raises(RuntimeError, match=text):
            checkpoint.load(written_by_torch(tensor), weights_only=weights_only)


def test_a_saved_storage():
    ours = theirs_to_ours(torch.arange(3, dtype=torch.int16).untyped_storage())
    assert ours.tolist() == [0, 0, 1, 0, 2, 0] and ours.nbytes() == 6


class Marked(fb.Tensor):
    """A user's subclass."""


def test_subclasses():
    made = fb.Tensor._make_subclass(Marked, fb.ones(3))
    made.note = 1
    ours = checkpoint.load(written_by_us(made), weights_only=False)
    assert type(ours) is Marked and ours.note == 1 and ours.tolist() == [1, 1, 1]
    with pytest.raises(pickle.UnpicklingError, match="Marked"):
        checkpoint.load(written_by_us(made))
    with checkpoint.safe_globals([Marked]):
        assert type(checkpoint.load(written_by_us(made))) is Marked


def test_uninitialized():
    for kind in ("UninitializedParameter", "UninitializedBuffer"):
        ours = theirs_to_ours(getattr(torch.nn.parameter, kind)())
        assert type(ours).__name__ == kind
        assert type(torch.load(written_by_us(ours), weights_only=False)).__name__ == kind


def test_memory_shared_with_numpy():
    array = np.arange(6.0).reshape(2, 3)
    tensor = fb.from_numpy(array)
    file = written_by_us([tensor, tensor[1]])
    array[1, 0] = 9
    assert tensor[1, 0].item() == 9
    assert [t.tolist() for t in torch.load(file)] == [[[0, 1, 2], [3, 4, 5]], [3, 4, 5]]


def test_safetensors(tmp_path):
    from safetensors.torch import load_file, save_file

    obj = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16), "c": torch.tensor(True)}
    save_file(obj, tmp_path / "x.safetensors")
    ours = checkpoint.load_safetensors(tmp_path / "x.safetensors")
    assert set(ours) == set(obj)
    for name, tensor in obj.items():
        same(ours[name], tensor)
    checkpoint.save_safetensors({**ours, "t": ours["a"].t()}, tmp_path / "y.safetensors", {"made": "here"})
    again = load_file(tmp_path / "y.safetensors")
    assert torch.equal(again["t"], obj["a"].t()) and all(torch.equal(again[n], t) for n, t in obj.items())
    with pytest.raises(RuntimeError, match="load_safetensors"):
        checkpoint.load(tmp_path / "x.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RuntimeError, match="damaged"):
        checkpoint.load_safetensors(tmp_path / "bad.safetensors")
    with pytest.raises(FileNotFoundError):
        checkpoint.load_safetensors(tmp_path / "missing.safetensors")
    with pytest.raises(TypeError, match="tensors by name"):
        checkpoint.save_safetensors({"a": 1}, tmp_path / "z.safetensors")


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_storages_by_themselves():
    typed, untyped, tensor = fb.FloatStorage([1.0, 2.0]), fb.UntypedStorage([1, 2, 3]), fb.arange(3.0)
    for zipped in (True, False):
        a, b, c, d = ours_to_theirs([typed, untyped, tensor, tensor.storage()], _use_new_zipfile_serialization=zipped)
        assert (a.tolist(), b.tolist(), d.tolist()) == ([1, 2], [1, 2, 3], [0, 1, 2])
        c[0] = 9
        assert d.tolist() == [9, 1, 2]
        again = checkpoint.load(written_by_us([typed, untyped], _use_new_zipfile_serialization=zipped))
        assert [s.tolist() for s in again] == [[1, 2], [1, 2, 3]]
    for library, save in ((torch, torch.save), (fb, checkpoint.save)):
        for zipped, safe in ((True, True), (True, False), (False, True), (False, False)):
            file = io.BytesIO()
            kept = library.arange(3.0)
            first = (library.UntypedStorage if zipped else library.ByteStorage)([1, 2, 3])
            save([first, kept.storage(), kept], file, _use_new_zipfile_serialization=zipped)
            file.seek(0)
            a, b, t = library.load(file, weights_only=safe)
            assert [type(s) for s in (a, b)] == [library.storage.TypedStorage] * 2
            assert (a.dtype, b.dtype, a.nbytes(), b.tolist()) == (library.uint8, library.float32, 3, [0, 1, 2])
            assert (
                repr(b) == " 0.0\n 1.0\n 2.0\n[torch.storage.TypedStorage(dtype=torch.float32, device=cpu) of size 3]"
            )
            b[0] = 7
            assert t.tolist() == [7, 1, 2]
    assert ours_to_theirs(fb.ones(1).untyped_storage()).tolist() == [0, 0, 128, 63]
    for library, save in ((torch, torch.save), (fb, checkpoint.save)):
        x = library.arange(3.0)
        with pytest.raises(RuntimeError, match="view the same data as different types"):
            save([x, x.untyped_storage()], io.BytesIO())


def test_errors_of_files_hold_torchs_texts(tmp_path):
    old = tmp_path / "old.pt"
    torch.save(torch.ones(2), old, _use_new_zipfile_serialization=False)
    file = io.BytesIO()
    torch.save(torch.ones(2), file)
    for call, kind, text in (
        (lambda t: t.save(t.ones(2), 3), AttributeError, "expected 'f' to be string, path, or a file-like object with"),
        (
            lambda t: t.load(io.BytesIO(file.getvalue()), mmap=True),
            ValueError,
            "f must be a file path in order to use the mmap argument",
        ),
        (lambda t: t.load(old, mmap=True), RuntimeError, "mmap can only be used with files saved with `torch.save("),
        (
            lambda t: t.load(io.BytesIO(file.getvalue()), map_location="bogus"),
            RuntimeError,
            "don't know how to restore data location of torch.storage.UntypedStorage (tagged with bogus)",
        ),
    ):
        for lib in (torch, fb):
            with pytest.raises(kind) as caught:
                call(lib)
            assert text in str(caught.value)
