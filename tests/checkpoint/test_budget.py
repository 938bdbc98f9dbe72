"""Small pickles that would make much, or take long: refused, at little cost. And those that only look like it."""

from __future__ import annotations

import collections
import gc
import io
import itertools
import pickle
import random
import struct
import time

import numpy as np
import pytest
import torch

from flambeau import checkpoint
from flambeau.checkpoint import budget
from pickles import ALLOWED, FOUR, archive, pid

MODULUS = 2**61 - 1  # of the hashes of numbers


def text(data: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(data)) + data


def number(n: int, size: int = 30) -> bytes:
    return b"\x8a" + bytes([size]) + n.to_bytes(size, "little", signed=True)


def real(x: float) -> bytes:
    return b"G" + struct.pack(">d", x)


def huge(n: int, times: int = 1) -> bytes:
    return b"\x8b" + struct.pack("<i", n) + b"\x01" * n


def name(dotted: str) -> bytes:
    module, _, last = dotted.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def alike(bits: int) -> list[bytes]:
    """Tuples with one hash: that of -1 is that of -2."""
    ones = (b"J\xff\xff\xff\xff", b"J\xfe\xff\xff\xff")
    return [b"(" + b"".join(ones[b] for b in choice) + b"t" for choice in itertools.product((0, 1), repeat=bits)]


NAMES = b"".join(text(b"%05d" % i) + b"N" for i in range(700))
TENSOR = name("torch._utils._rebuild_tensor_v2") + b"(" + pid() + b"K\x00K\x04\x85K\x01\x85\x89NtR"
ARRAY = name("numpy.core.multiarray._reconstruct") + b"(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01K\x04\x85"
ARRAY += name("numpy.dtype") + b"X\x02\x00\x00\x00i1\x89\x88\x87R\x89C\x04abcdtb"
MEMO = b"q\x000"
DEEP, EQUAL, MUCH = "nested more than", "keys of the same hash", "far more data"

BOMBS = {
    "nested lists": (b"]" * 100_000 + b"a" * 99_999, DEEP),
    "nested dicts": (b"}K\x01" * 100_000 + b"N" + b"s" * 100_000, DEEP),
    "nested tuples": (b")" + b"\x85" * 200_000, DEEP),
    "nested keys": (b"})" + b"\x85" * 900 + b"N" + b"s", None),
    **{
        f"nested {kind}s": (name(f"collections.{kind}") + MEMO + b"h\x00)RK\x01" * 100_000 + b"N" + b"s" * 100_000, why)
        for kind, why in {"defaultdict": DEEP, "OrderedDict": f"{DEEP}|{MUCH}", "Counter": DEEP}.items()
    },
    "nested deques": (name("collections.deque") + MEMO + b"h\x00)R" * 5000 + b"a" * 4999, DEEP),
    "root first": (
        name("collections.defaultdict") + b"q\x00h\x00)Rq\x01" + b"K\x01h\x00)Rq\x02sh\x02q\x01" * 100_000, DEEP,
    ),
    "left on the stack": (
        name("collections.defaultdict") + MEMO + b"h\x00)RK\x01" * 100_000 + b"N" + b"s" * 100_000 + b"N", DEEP,
    ),
    "thrown away": (
        name("collections.defaultdict") + MEMO + b"h\x00)RK\x01" * 100_000 + b"N" + b"s" * 100_000 + b"0N", DEEP,
    ),
    "cut off": (name("collections.defaultdict") + MEMO + b"h\x00)RK\x01" * 100_000 + b"N" + b"s" * 90_000 + b"K", None),
    "equal tuples": (b"}(" + b"N".join(alike(16)) + b"Nu", EQUAL),
    "equal tuples one by one": (b"}" + b"".join(key + b"Ns" for key in alike(16)), EQUAL),
    "equal members": (b"\x8f(" + b"".join(alike(16)) + b"\x90", EQUAL),
    "equal members of a frozenset": (b"(" + b"".join(alike(16)) + b"\x91", EQUAL),
    "a set of a list": (name("builtins.set") + b"](" + b"".join(alike(16)) + b"e\x85R", EQUAL),
    "a dict of pairs": (
        name("collections.OrderedDict") + b"](" + b"".join(key + b"N\x86" for key in alike(16)) + b"e\x85R", EQUAL,
    ),
    "complex keys": (
        name("builtins.complex") + MEMO + b"}("
        + b"".join(b"h\x00(" + real(10**12 - 1000003 * k) + real(k) + b"tRN" for k in range(50_000)) + b"u",
        EQUAL,
    ),
    "long ints": (b"}(" + b"".join(number(i * MODULUS) + b"N" for i in range(20_000)) + b"u", EQUAL),
    "a long int often": (huge(1_000_000) + MEMO + b"}(" + b"h\x00N" * 100_000 + b"u", f"{MUCH}|{EQUAL}"),
    "a wide key often": (b"(" + b"N" * 900 + b"t" + MEMO + b"}(" + b"h\x00N" * 100_000 + b"u", f"{MUCH}|{EQUAL}"),
    "ranges of a long int": (
        name("builtins.range") + b"q\x00" + huge(500_000) + b"q\x010](" + b"h\x00h\x01\x85R" * 3000 + b"e", MUCH,
    ),
    "slices": (name("builtins.slice") + b"q\x00" + huge(500_000) + b"q\x010](" + b"h\x00h\x01\x85R" * 9000 + b"e", None),
    "attributes": (
        name("collections.OrderedDict") + b"q\x00}(" + NAMES + b"uq\x01" + b"h\x00)Rh\x01b" * 1000, MUCH,
    ),
    "a tensor's attributes": (
        name("torch._utils._rebuild_tensor_v2") + b"q\x000(" + pid() + b"K\x00K\x04\x85K\x01\x85\x89Ntq\x010}(" + NAMES
        + b"uq\x020](" + b"h\x00h\x01Rh\x02b" * 1000 + b"e",
        MUCH,
    ),
    "tensors": (
        name("torch._utils._rebuild_tensor_v2") + b"q\x00(" + pid() + b"K\x00K\x04\x85K\x01\x85\x89Ntq\x010]("
        + b"h\x00h\x01R" * 60_000 + b"e",
        MUCH,
    ),
    "parameters": (
        TENSOR + b"q\x00" + name("torch._utils._rebuild_parameter") + b"q\x01(h\x00\x88Ntq\x02](" + b"h\x01h\x02R" * 60_000
        + b"e",
        MUCH,
    ),
    "wider numbers": (
        ARRAY + b"q\x01" + name("torch._utils._rebuild_device_tensor_from_numpy")
        + b"q\x03(h\x01ctorch\ncomplex128\nX\x03\x00\x00\x00cpu\x89tq\x04](" + b"h\x03h\x04R" * 60_000 + b"e",
        MUCH,
    ),
    "arrays": (
        b"(K\x01" + number(10_000) + b"\x85" + name("numpy.dtype") + b"X\x02\x00\x00\x00i1\x89\x88\x87R\x89B"
        + struct.pack("<I", 10_000) + b"a" * 10_000 + b"tq\x010" + name("numpy.core.multiarray._reconstruct")
        + b"q\x02(cnumpy\nndarray\nK\x00\x85C\x01btq\x03](" + b"h\x02h\x03Rh\x01b" * 20_000 + b"e",
        MUCH,
    ),
    **{
        f"copies to {kind}": (
            name(kind) + b"q\x00](" + b"".join(b"M" + struct.pack("<H", i) + tail for i in range(3000))
            + b"eq\x01](" + b"h\x00h\x01\x85R" * 3000 + b"e",
            MUCH,
        )
        for kind, tail in {
            "builtins.set": b"", "builtins.frozenset": b"", "builtins.list": b"", "builtins.tuple": b"",
            "collections.deque": b"", "collections.Counter": b"", "collections.OrderedDict": b"N\x86",
            "builtins.dict": b"N\x86",
        }.items()
    },
    "sets": (b"(" + b"\x8f" * 1_000_000 + b"t", MUCH),
    "dicts": (b"(" + b"}" * 1_000_000 + b"t", MUCH),
    "marks": (b"(" * 1_000_000, MUCH),
}  # fmt: skip


def cost(data: bytes) -> tuple[float, int, Exception | None]:
    """Seconds of the processor and bytes of memory at the peak for loading a pickle, and the error."""
    file, error = io.BytesIO(archive(data, FOUR)), None
    gc.collect(1)  # what the pickle before left; all that the process holds would cost more than the pickle
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # the peak counts from here
    before, start = _status("VmRSS"), time.process_time()
    try:
        checkpoint.load(file)
    except ALLOWED as e:
        error = e
    return time.process_time() - start, _status("VmHWM") - before, error


def _status(what: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(what))


def check_cost(data: bytes, seconds: float = 4) -> Exception | None:
    taken, memory, error = cost(data)
    assert taken < seconds, f"{taken:.1f} s for {len(data)} bytes: {error}"
    assert memory < 50e6 + 50 * len(data), f"{memory / 1e6:.0f} MB for {len(data)} bytes: {error}"
    return error


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb):
    data, why = BOMBS[bomb]
    error = check_cost(b"\x80\x04" + data + b".")
    if why is not None:
        assert isinstance(error, pickle.UnpicklingError)
        assert any(one in str(error) for one in why.split("|")), error


# --- at random --------------------------------------------------------------------------------------------------------

CALLED = [
    "collections.OrderedDict", "collections.defaultdict", "collections.Counter", "collections.deque", "builtins.list",
    "builtins.tuple", "builtins.dict", "builtins.set", "builtins.frozenset", "builtins.bytearray", "builtins.complex",
    "builtins.range", "builtins.slice", "_codecs.encode", "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy._core.numeric._frombuffer", "torch.Size", "torch.device",
    "torch.float32", "torch.Tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_device_tensor_from_numpy", "torch.nn.parameter.Parameter",
    "torch.nn.parameter.UninitializedParameter",
]  # fmt: skip
PLAIN = [bytes([code]) for code in b"()]}\x8fN\x88012t\x85\x86\x87ld\x91\x90aesuR\x81b\x94"]
VALUES = [
    b"K\x01", b"K\x02", real(0.0), real(1e300), real(float("nan")), number(3 * MODULUS), huge(300), b"I5\n", b"L7L\n",
    b"J\xff\xff\xff\xff", b"M\x01\x02", text(b"a"), text(b"latin1"), text(b"f4"), text(b"c16"), text(b"S99"),
    text(b"a" * 1500), b"C\x03abc", b"V\\u1234\n", b"B\xe8\x03\x00\x00" + b"x" * 1000, TENSOR, ARRAY, pid(),
]  # fmt: skip


def piece(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(PLAIN)
    if kind == 1:
        return rng.choice(VALUES)
    if kind == 2:
        return name(rng.choice(CALLED))
    if kind == 3:
        return rng.choice([b"r", b"j"]) + struct.pack("<I", rng.choice([0, 1, 7, 300, 2**31]))
    one, two, three = (b"h" + bytes([rng.randrange(6)]) for _ in range(3))
    forms = [one, b"q" + one[1:], one + two + b"\x85R", one + two + b"R", one + b")R", one + b")\x81", one + two + b"b"]
    forms += [one + b"(" + two + three + b"tR", one + two + b"Ns", one + two + b"a", two + three + b"\x86"]
    return rng.choice(forms)


def stream(rng: random.Random, longest: int) -> bytes:
    """A few values into the memo, then a few operations again and again."""
    data = b"".join(piece(rng) + (b"q" + bytes([i]) if rng.random() < 0.8 else b"") for i in range(rng.randrange(1, 7)))
    for _ in range(rng.randrange(1, 4)):
        block = b"".join(piece(rng) for _ in range(rng.randrange(1, 5)))
        data += rng.choice([b"", b"(", b"](", b"}("]) + block * rng.choice([1, 10, 1000, longest // len(block)])
        data += rng.choice([b"", b"t", b"e", b"u", b"l", b"d", b"\x90", b"\x91"])
        if rng.random() < 0.5:
            data += b"q" + bytes([rng.randrange(6)])
    return b"\x80\x04" + data + b"."


def test_streams_of_operations():
    for seed in range(10):
        check_cost(stream(random.Random(seed), 20_000))


@pytest.mark.slow
def test_many_streams_of_operations():
    for seed in range(30, 3000):
        check_cost(stream(random.Random(seed), 100_000))


# --- what is only large -----------------------------------------------------------------------------------------------


def nest(depth: int):
    made: list = []
    for _ in range(depth):
        made = [made, {"a": 1}]
    return made


LARGE = {
    "nested": lambda: nest(300),
    "many small things": lambda: [{"a": [], "b": (i, i + 0.5), "c": {i}, "d": str(i)} for i in range(20_000)],
    "empty things": lambda: [
        [[] for _ in range(100_000)],
        [{} for _ in range(100_000)],
        [set() for _ in range(50_000)],
    ],
    "numbers": lambda: [list(range(300_000)), [i / 7 for i in range(300_000)], {i: i for i in range(100_000)}],
    "tuple keys": lambda: {(i, j, str(i)): -1.5 for i in range(-150, 150) for j in range(-150, 150)},
    "float and complex keys": lambda: {
        **{i / 8: 0 for i in range(50_000)},
        **{complex(i, -i): 0 for i in range(10_000)},
    },
    "sets": lambda: [set(range(50_000)), frozenset((i, -i) for i in range(20_000))],
    "kinds": lambda: [collections.OrderedDict((i, i) for i in range(50_000)), collections.Counter(range(50_000))],
    "tensors": lambda: {f"layer.{i}.weight": torch.ones(2) * i for i in range(3000)},
    "shared": lambda: (lambda x: [x] * 100_000)([1, 2]),
    "chains": lambda: [collections.defaultdict(list, {i: [i]}) for i in range(3000)],
    "text": lambda: ["é" * 1_000_000, b"x" * 1_000_000, [f"word{i}" for i in range(100_000)]],
    "numpy": lambda: [np.arange(100_000), *(np.float64(i) for i in range(3000))],
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_files_are_loaded(kind):
    made = LARGE[kind]()
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(made, file, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        loaded = checkpoint.load(file)
        if kind == "tensors":
            assert list(loaded) == list(made) and loaded["layer.2999.weight"].tolist() == [2999, 2999]
        elif kind == "numpy":
            assert (loaded[0] == made[0]).all() and loaded[1:] == made[1:]
        else:
            assert loaded == made


def test_the_memo_out_of_order():
    data = (
        b"\x80\x02]" + b"K\x07r\x05\x00\x00\x00aK\x01q\x00aK\x02q\x05aK\x03q\x01ah\x05ah\x00ah\x01aj\x05\x00\x00\x00a."
    )
    assert checkpoint.load(io.BytesIO(archive(data))) == pickle.loads(data) == [7, 1, 2, 3, 2, 1, 3, 2]


def test_depth_counts_the_longest_way():
    one: list = []
    chain = [one]
    for _ in range(budget.DEPTH - 2):
        one = [one]
        chain.append(one)
    budget.check_depth(chain[::-1], *chain)
    with pytest.raises(pickle.UnpicklingError, match=DEEP):
        budget.check_depth(*chain, [[[one]]])
    ring: list = []
    ring.append(ring)
    budget.check_depth(ring)
