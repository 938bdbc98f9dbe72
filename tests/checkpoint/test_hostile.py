"""Damaged and hostile files: a clear error of a few types, nothing executed, no hang, no memory spent on claims."""

from __future__ import annotations

import collections
import contextlib
import functools
import io
import os
import pickle
import random
import resource
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from flambeau import checkpoint
from flambeau.checkpoint.unpickler import Unpickler
from pickles import ALLOWED, FOUR, archive, number, pid
from support.properties import examples


@functools.cache
def healthy(zipped: bool = True) -> bytes:
    base = torch.arange(40.0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    noted = torch.ones(2)
    noted.note = {"a": [1, 2.5, None, True, b"x", 1 + 2j]}
    obj = {
        "model": model.state_dict(),
        "views": [base[3:9], base[::4], base.reshape(5, 8).t()],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "noted": noted,
        "others": [torch.Size([1]), torch.float16, torch.device("cpu"), {1, 2}, collections.Counter("ab"), "é", 2**80],
        "more": [
            torch.zeros(2, dtype=torch.uint16),
            torch.zeros(2, dtype=torch.bool),
            torch.ones(2, dtype=torch.bfloat16),
        ],
        "numpy": [np.float64(1), np.arange(3)],
    }
    file = io.BytesIO()
    torch.save(obj, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def refuse(data: bytes, match: str | None = None, kinds: tuple[type[Exception], ...] = ALLOWED) -> Exception:
    """Assert that loading fails in an allowed way, and quickly."""
    start = time.monotonic()
    with pytest.raises(kinds, match=match) as caught:
        checkpoint.load(io.BytesIO(data))
    assert time.monotonic() - start < 5
    assert len(str(caught.value)) < 1500
    return caught.value


def tensor(offset: int = 0, size: tuple = (4,), stride: tuple = (1,), tail: bytes = b"\x89N", **kw) -> bytes:
    """The opcodes of a tensor."""
    dims = b"".join(b"(" + b"".join(map(number, part)) + b"t" for part in (size, stride))
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + pid(**kw) + number(offset) + dims + tail + b"tR."


# --- nothing is executed ----------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def test_code_is_not_executed(tmp_path):
    canary = tmp_path / "canary"
    command = f"echo caught > {canary}"
    evils = [
        Evil(os.system, command),
        Evil(eval, f"open({str(canary)!r}, 'w')"),
        Evil(exec, f"open({str(canary)!r}, 'w')"),
        Evil(open, str(canary), "w"),
        Evil(functools.partial, os.system, command),
        Evil(__import__, "os"),
        Evil(torch.load, "x"),
        Evil(np.load, str(canary)),
    ]
    for evil in evils:
        for protocol in range(6):
            refuse(archive(pickle.dumps([evil], protocol)), "refused to load", (pickle.UnpicklingError,))
        file = io.BytesIO()
        torch.save([evil], file, _use_new_zipfile_serialization=False)
        refuse(file.getvalue(), "refused to load", (pickle.UnpicklingError,))
    assert not canary.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system", "posix system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__",
        "builtins open", "builtins type", "builtins object", "__builtin__ apply", "__builtin__ eval",
        "subprocess Popen",
        "torch.os system", "torch load", "torch.serialization os.system", "torch.serialization load", "torch hub.load",
        "torch._utils os", "torch.Tensor __init__", "torch nn.Linear", "torch.nn.modules.linear Linear",
        "collections abc",
        "collections OrderedDict.fromkeys", "numpy load", "numpy.core.multiarray fromfile",
        "numpy core.multiarray.scalar",
        "flambeau.checkpoint load", "flambeau os", "copyreg _reconstructor", "pickle loads", "_codecs decode",
        "torch.jit load", "torch._tensor torch", "torch ops.load_library", "functools partial", "operator attrgetter",
        " os system", "os\x00 system", "torch  Tensor", "TORCH Tensor", "torch tensor",
        "torch.storage _load_from_bytes",
    ],
)  # fmt: skip
def test_names_are_refused_exactly(name):
    module, _, name = name.partition(" ") if not name.startswith(" ") else (" os", " ", "system")
    error = refuse(archive(b"\x80\x02c" + f"{module}\n{name}\n.".encode()), kinds=(pickle.UnpicklingError,))
    assert "refused to load" in str(error) and name in str(error) and "add_safe_globals" in str(error)
    parts = b"".join(b"X" + struct.pack("<I", len(p.encode())) + p.encode() for p in (module, name))
    refuse(archive(b"\x80\x04" + parts + b"\x93."), "refused to load", (pickle.UnpicklingError,))


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02ctorch\nfloat32\n)R.",  # a dtype is no function
        b"\x80\x02ctorch\nTensor\n)R.",
        b"\x80\x02ctorch\nTensor\n)\x81.",
        b"\x80\x02cnumpy\nndarray\n(K\x05\x85tR.",
        b"\x80\x02X\x01\x00\x00\x00a)R.",
        b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7tR.",
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x00\x7f\x85R.",  # half a terabyte
        b"\x80\x02c__builtin__\nbytes\n\x8a\x05\x00\x00\x00\x00\x7f\x85R.",
        b"\x80\x02c__builtin__\nstr\n]\x85R.",
        b"\x80\x02c__builtin__\nlist\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02ccollections\ndefaultdict\nctorch._utils\n_rebuild_tensor_v2\n\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb.",
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00__class__Nsb.",
        b"\x80\x02}}X\x01\x00\x00\x00aNsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__Nsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nX\x01\x00\x00\x00aNs.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02}K\x01a.",
        b"\x80\x02)K\x01a.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02(X\x06\x00\x00\x00moduleK\x01K\x02tQ.",
        b"\x80\x02ctorch.serialization\n_get_layout\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02cnumpy\ndtype\n(X\x01\x00\x00\x00O\x89\x88tR.",
        b"\x80\x02ctorch\ndevice\nX\x05\x00\x00\x00a\nbcd\x85R.",
        b"\x80\x02ctorch\nSize\n(X\x01\x00\x00\x00at\x85R.",
        b"\x80\x02ctorch.nn.parameter\nParameter\nK\x01\x85R.",
        b"\x80\x02cos\n",
        b"\x80\x09N.",
        b"\x82\x01.", b"P123\n.", b"S'a'\n.", b"(ios\nsystem\n.", b"(cos\nsystem\no.", b"\x97.", b"\x98.", b"\xff.",
    ],
)  # fmt: skip
def test_evil_operations(pickled):
    refuse(archive(pickled))


def test_every_operation_on_every_kind_of_value():
    """Each opcode after some values, and after nothing: no exception but the allowed ones."""
    pushes = [
        b"", b"N", b"]", b"}", b")", b"\x8f", b"K\x01", b"X\x01\x00\x00\x00a", b"(", b"ctorch\nTensor\n",
        b"ccollections\nOrderedDict\n)R", b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R",
    ]  # fmt: skip
    for code in range(256):
        for first in pushes:
            for second in pushes:
                data = first + second + bytes([code]) + b"\x01\x00\x00\x00\x00\x00\x00\x00\n\n."
                with contextlib.suppress(*ALLOWED):
                    Unpickler(data).load()


# --- what a file claims -----------------------------------------------------------------------------------------------


def test_the_hand_made_tensor_is_sound():
    assert checkpoint.load(io.BytesIO(archive(tensor(), FOUR))).tolist() == [1, 2, 3, 4]
    assert checkpoint.load(io.BytesIO(archive(tensor(1, (3, 2), (1, 0)), FOUR))).tolist() == [[2, 2], [3, 3], [4, 4]]
    assert checkpoint.load(io.BytesIO(archive(tensor(4, (0, 9), (9, 1)), FOUR))).shape == (0, 9)


BIG = 2**62
CLAIMS = {
    "beyond": tensor(size=(5,)),
    "offset": tensor(offset=1),
    "offset of nothing": tensor(5, (0,)),
    "stride": tensor(size=(2,), stride=(4,)),
    "negative size": tensor(size=(-1,)),
    "negative stride": tensor(size=(2,), stride=(-1,)),
    "negative offset": tensor(offset=-1),
    "overflow": tensor(size=(2**32, 2**32), stride=(0, 0)),
    "overflow of strides": tensor(size=(2, 2), stride=(BIG, BIG)),
    "wraps to nothing": tensor(size=(5, 2), stride=(2**62, 2**63 - 1)),
    "overflow beside zero": tensor(size=(0, BIG, BIG), stride=(1, 1, 1)),
    "out of int64": tensor(size=(2**64,), stride=(0,)),
    "lengths": tensor(size=(2, 2), stride=(1,)),
    "dims": tensor(size=(1,) * 65, stride=(1,) * 65),
    "storage of a petabyte": tensor(size=(2**48,), numel=2**48),
    "negative storage": tensor(size=(0,), numel=-4),
    "too small a storage": tensor(numel=3),
    "another type": tensor(kind="DoubleStorage"),
    "missing storage": tensor(key="1"),
    "path": tensor(key="../../x"),
    "no bool": tensor(tail=b"K\x01N"),
    "hooks": tensor(tail=b"\x89K\x01"),
    "metadata": tensor(tail=b"\x89N}X\x01\x00\x00\x00aNs"),
    "too few": tensor(tail=b""),
    "too many": tensor(tail=b"\x89NNNNN"),
    "untyped": tensor(kind="UntypedStorage", numel=16),
    "quantised": tensor(kind="QInt8Storage"),
    "no storage type": tensor(kind="Tensor"),
    "text for a size": tensor().replace(b"(" + number(4) + b"t", b"(X\x01\x00\x00\x00at"),
    "bool for a size": tensor().replace(b"(" + number(4) + b"t", b"(\x88t"),
    "integers with gradients": tensor(kind="IntStorage", tail=b"\x88N"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_are_checked(claim):
    refuse(archive(CLAIMS[claim], FOUR))


def test_huge_views_of_little_cost_nothing():
    pickled = b"ctorch._utils\n_rebuild_parameter\n(" + tensor(size=(2**40,), stride=(0,))[2:-1] + b"\x88NtR."
    assert checkpoint.load(io.BytesIO(archive(pickled, FOUR))).shape == (2**40,)


def test_attributes_cannot_hide_what_a_tensor_has():
    for name in ("_storage", "_view", "data", "shape", "grad", "__class__", "backward", "__dict__"):
        attributes = b"}X" + struct.pack("<I", len(name)) + name.encode() + b"K\x01s"
        refuse(archive(tensor()[:-1] + attributes + b"b.", FOUR), "attribute")


def test_bools_are_made_sound():
    file = archive(tensor(kind="BoolStorage"), {"0": b"\x00\x01\x02\xff"})
    assert checkpoint.load(io.BytesIO(file)).tolist() == [False, True, True, True]


# --- sizes: memory and time -------------------------------------------------------------------------------------------


def test_bombs():
    bombs = {
        "deep key": b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
        "wide key": b"\x80\x02}N" + b"2\x86" * 60 + b"Ns.",  # 2**60 leaves
        "wide member": b"\x80\x02\x8f(N" + b"2\x86" * 60 + b"\x90.",
        "wide set": b"\x80\x02c__builtin__\nset\n](N" + b"2\x86" * 60 + b"e\x85R.",
        "long ints": b"\x80\x02}("
        + b"".join(b"\x8a\x14" + (i * (2**61 - 1) << 80).to_bytes(20, "little") + b"N" for i in range(20_000))
        + b"u.",
        "claimed text": b"\x80\x02X\xff\xff\xff\x7f.",
        "claimed bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "claimed int": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "negative int": b"\x80\x02\x8b\xff\xff\xff\xff.",
        "copies": b"\x80\x02X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
        + b"c_codecs\nencode\nq\x01" + b"h\x01h\x00\x85R" * 20_000 + b".",
        "copied lists": b"\x80\x02](" + b"N" * 100_000 + b"eq\x00"
        + b"c__builtin__\nlist\nq\x01" + b"h\x01h\x00\x85R" * 20_000 + b".",
        "digits": b"I" + b"9" * 50_000 + b"\n.",
    }  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in bombs.values():
        refuse(archive(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
    memo = archive(b"\x80\x02Nr\xff\xff\xff\x7f.")  # a place in the memo far out
    assert checkpoint.load(io.BytesIO(memo)) is None


def zipped(entries, method=zipfile.ZIP_STORED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target:
        for name, data in entries:
            target.writestr(name, data)
    return bytearray(file.getvalue())


def test_zip_bombs():
    refuse(bytes(zipped([("x/data.pkl", b"N" * (1 << 26) + b".")], zipfile.ZIP_DEFLATED)), "grow")
    pickled = tensor(size=(1 << 27,), numel=1 << 27)
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packed.compress(bytes(1 << 20)) + packed.flush()
    data = zipped([("x/data.pkl", pickled), ("x/data/0", stream)])
    at = data.rindex(b"PK\x01\x02")
    data[at + 10 : at + 12] = b"\x08\x00"
    data[at + 24 : at + 28] = struct.pack("<I", 1 << 29)
    refuse(bytes(data), "grow")
    data[at + 24 : at + 28] = struct.pack("<I", 1 << 27)
    refuse(bytes(data))


def test_archives_that_contradict_themselves():
    good = zipped([("x/data.pkl", tensor()), ("x/data/0", FOUR["0"])])
    assert checkpoint.load(io.BytesIO(bytes(good))).tolist() == [1, 2, 3, 4]
    with pytest.warns(UserWarning, match="Duplicate"):
        refuse(bytes(zipped([("x/data.pkl", b"N."), ("x/data.pkl", b"K\x01.")])), "two records")
    refuse(bytes(zipped([("x/data.pkl", b"N."), ("y/data.pkl", b"K\x01.")])), "one data.pkl")
    refuse(bytes(zipped([("x/other", b"N.")])), "locating file data.pkl: file not found")
    refuse(bytes(zipped([])), "not a file|zip")
    refuse(bytes(zipped([("x/data.pkl", b"N."), ("x/constants.pkl", b"")])), "TorchScript")
    refuse(bytes(zipped([("x/data.pkl", b"N."), ("x/byteorder", b"middle")])), "byte order")

    at = good.rindex(b"PK\x01\x02")
    overlapping = good.copy()
    overlapping[at + 42 : at + 46] = struct.pack("<I", 0)
    refuse(bytes(overlapping))
    encrypted = good.copy()
    encrypted[at + 8] |= 1
    refuse(bytes(encrypted), "encrypted")
    longer = good.copy()
    longer[at + 20 : at + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    refuse(bytes(longer))
    flipped = good.copy()
    flipped[good.index(FOUR["0"])] ^= 1
    refuse(bytes(flipped), "checksum")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (b"hello, this is text\n" * 10, "This is not a file that torch.save made"),
        (b"PK", "zip"),
        (b"PK\x03\x04", "zip|directory"),
        (b"PK\x03\x04" + b"\x00" * 500, "directory"),
        (b"\x80\x02K\x01.", "not a file"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1000, 2) + pickle.dumps({}, 2), "version"),
        (b"\x00" * 257 + b"ustar" + b"\x00" * 300, "tar"),
    ],
)
def test_other_files(data, match):
    refuse(data, match)


# --- damage at random -------------------------------------------------------------------------------------------------


def survives(data: bytes) -> None:
    try:
        checkpoint.load(io.BytesIO(data))
    except ALLOWED as e:
        assert len(str(e)) < 1500


@pytest.mark.parametrize("zip_format", [True, False])
def test_truncation(zip_format):
    data = healthy(zip_format)
    for length in {*range(0, len(data), 97), *range(64), *range(len(data) - 30, len(data))}:
        refuse(data[:length])


@examples(300)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 2**32), st.integers(1, 255)), min_size=1, max_size=5))
def test_flipped_bytes(zip_format, flips):
    data = bytearray(healthy(zip_format))
    for position, change in flips:
        data[position % len(data)] ^= change
    survives(bytes(data))


@examples(300)
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_pickles(flips):
    """The same inside the pickle, with the checksums put right: what a person would do."""
    with zipfile.ZipFile(io.BytesIO(healthy())) as source:
        records = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
    pickled = bytearray(records.pop("data.pkl"))
    for position, value in flips:
        pickled[position % len(pickled)] = value
    storages = {name[5:]: records.pop(name) for name in list(records) if name.startswith("data/")}
    survives(archive(bytes(pickled), storages))


@examples(200)
@given(st.randoms(use_true_random=False))
def test_shuffled_operations(rng: random.Random):
    pieces = [
        b"(", b"t", b"R", b"b", b"a", b"s", b"u", b"e", b"]", b"}", b")", b"Q", b"2", b"0", b"1", b"N", b"\x88",
        b"\x81",
        b"\x92", b"\x85", b"\x86", b"\x87", b"q\x00", b"h\x00", b"\x94", b"\x8f", b"\x90", b"\x91", b"d", b"l",
        b"K\x01", b"X\x01\x00\x00\x00a", pid(), number(4), b"ctorch\nTensor\n", b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n", b"ccollections\nOrderedDict\n",
        b"ctorch._tensor\n_rebuild_from_type_v2\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", tensor()[2:-1],
        b"cnumpy.core.multiarray\n_reconstruct\n", b"ctorch.nn.parameter\nParameter\n", b"C\x02ab",
        b"c__builtin__\nset\n",
    ]  # fmt: skip
    survives(archive(b"".join(rng.choices(pieces, k=rng.randint(2, 60))) + b".", FOUR))


# --- what the user allows ---------------------------------------------------------------------------------------------


class Point:
    def __init__(self, x):
        self.x = x


def broken(*args):
    raise KeyError("mine")


def test_safe_globals():
    data = archive(pickle.dumps({"p": Point(3)}, 2))
    refuse(data, "Point", (pickle.UnpicklingError,))
    assert checkpoint.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == [f"{__name__}.Point"]
    with checkpoint.safe_globals([Point]):
        assert checkpoint.load(io.BytesIO(data))["p"].x == 3
        assert checkpoint.get_safe_globals() == [Point]
        assert checkpoint.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []
    refuse(data, "Point")
    checkpoint.add_safe_globals([(Point, "elsewhere.Renamed"), broken])
    try:
        refuse(data, "Point")
        renamed = data.replace(b"c" + f"{__name__}\nPoint".encode(), b"celsewhere\nRenamed")
        moved = archive(
            pickle.dumps({"p": Point(3)}, 2).replace(f"c{__name__}\nPoint\n".encode(), b"celsewhere\nRenamed\n")
        )
        assert renamed != data and checkpoint.load(io.BytesIO(moved))["p"].x == 3
        failing = archive(b"c" + f"{__name__}\nbroken\n".encode() + b")R.")
        with pytest.raises(KeyError, match="mine"):  # an error of what the user allowed stays what it is
            checkpoint.load(io.BytesIO(failing))
    finally:
        checkpoint.clear_safe_globals()
    assert checkpoint.get_safe_globals() == []
    with pytest.raises(TypeError, match="safe globals are"):
        checkpoint.add_safe_globals([5])


def test_the_public_module_is_the_same():
    from flambeau import serialization

    assert serialization.load is checkpoint.load and serialization.safe_globals is checkpoint.safe_globals
    assert fb.serialization is serialization
