"""Single values and ranges of indices, read by the library, and the same without it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau import native
from flambeau.native import reading
from support.process import run_code

needs_native = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")
WAYS = [pytest.param(True, marks=needs_native, id="library"), pytest.param(False, id="numpy")]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library's functions, and as if there were none."""
    if not request.param:
        monkeypatch.setattr(reading.functions, "all_inside", reading._nothing)
        monkeypatch.setattr(reading.functions, "number_at", reading._nothing)


@needs_native
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_limits_are_told_apart(dtype: str) -> None:
    x = jnp.asarray(np.arange(-7, 1000), dtype)
    inside = reading.functions.all_inside
    assert inside(x, -7, 1000) is True
    assert inside(x, -6, 1000) is False
    assert inside(x, -7, 999) is False
    assert inside(x[:0], 0, 0) is True
    assert inside(x[:1], 0, 0) is False
    edges = jnp.asarray([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    assert inside(edges, 0, 10) is False
    assert inside(edges[1:], np.iinfo(dtype).min, np.iinfo(dtype).max) is False
    assert inside(edges[:1], np.iinfo(dtype).min, np.iinfo(dtype).max) is True


@needs_native
def test_what_is_not_at_hand_is_left_to_others() -> None:
    inside, number = reading.functions.all_inside, reading.functions.number_at
    gone = jnp.arange(3) + 1
    gone.delete()
    for other in (np.arange(3), gone, jnp.ones(3), jnp.ones(3, np.uint8), None, "text"):
        assert inside(other, 0, 10) is None
    assert number(jnp.arange(3), 3) is None
    assert number(jnp.arange(3), -1) is None
    assert number(jnp.ones(2, np.complex64), 0) is None
    assert number(gone, 0) is None
    with pytest.raises(RuntimeError, match="deleted"):  # and nothing is left behind of the error on the way
        gone.block_until_ready()


@needs_native
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_several_arrays_are_looked_at_together(dtype: str) -> None:
    looking = reading.functions.for_programs()
    assert looking is not None
    x, y = jnp.asarray(np.arange(3, 120).reshape(9, 13), dtype), jnp.asarray(5, dtype)
    assert looking((0, 3, 120, 3, -1, 1, 5, 6, 5, -1))([x, y]) is True
    assert looking(())([x, y]) is True
    assert looking((0, 3, 119, 3, -1))([x, y]) is False
    assert looking((0, 4, 120, 4, -1))([x, y]) is False
    assert looking((0, 4, 120, 3, -1))([x, y]) is True  # 3 is ignored
    assert looking((0, 3, 120, 3, -1, 1, 6, 9, 6, -1))([x, y]) is False
    assert looking((0, 0, 0, 0, -1))([x[:0]]) is True
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    assert looking((0, low, high, high, -1))([jnp.asarray([low, high], dtype)]) is True
    assert looking((0, 0, high, 0, -1))([jnp.asarray([low, high], dtype)]) is False


@needs_native
def test_arrays_that_are_not_at_hand_are_not_seen_to_be_inside() -> None:
    looking = reading.functions.for_programs()
    assert looking is not None
    gone = jnp.arange(3) + 1
    gone.delete()
    for other in (gone, jnp.ones(3), jnp.ones(3, np.uint16), jnp.ones(3, bool), None, "text"):
        assert looking((0, 0, 10, 0, -1))([other]) is False
    assert looking((0, 0, 10, 0, -1))([]) is False
    assert looking((0, 5, 4, 5, -1))([jnp.arange(3)]) is False


@needs_native
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_memory_of_numpys_is_looked_at_where_it_is_given(dtype: str) -> None:
    looking = reading.functions.for_programs()
    assert looking is not None
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    look = looking((0, 0, 12, 0, 0, 1, 5, 9, 5, -1))
    array, other = jnp.asarray(values), jnp.asarray([5, 8], dtype)
    assert look([array, other], values) is True
    assert look([array, other], None) is True
    assert looking((0, 0, 11, 0, 0))([array], values) is False
    for strange in (
        values[:, ::2],
        values.astype(">i4"),
        values.astype(float),
        "text",
    ):  # then the array itself is looked at
        assert looking((0, 0, 12, 0, 0))([array], strange) is True
        assert looking((0, 0, 11, 0, 0))([array], strange) is False


@needs_native
def test_an_array_is_remembered_as_long_as_it_lives() -> None:
    looking = reading.functions.for_programs()
    assert looking is not None
    look = looking((0, 0, 10, 0, -1))
    rng = np.random.default_rng(0)
    held = [jnp.asarray(rng.integers(0, 10, 3)) for _ in range(20)]
    for i in range(3000):  # addresses come back
        bad = bool(rng.integers(2))
        fresh = jnp.asarray([1, 10 if bad else 9, 3])
        assert look([fresh]) is not bad
        assert look([held[i % 20]])
        if i % 100 == 0:
            held[rng.integers(20)] = jnp.asarray([0])


@needs_native
def test_nothing_is_remembered_once_addresses_are_known() -> None:
    done = run_code(
        """
        import ctypes
        import jax.numpy as jnp
        import flambeau as fb
        from flambeau.native import reading

        looking = reading.functions.for_programs()((0, 0, 10, 0, -1))
        array = jnp.arange(3)
        first = ctypes.c_int64.from_address(array.unsafe_buffer_pointer())
        print(looking([array]), end=" ")
        first.value = 10
        print(looking([array]), end=" ")  # nobody may do this, so nobody looks
        first.value = 0
        fb.ones(1).data_ptr()
        fb.arange(3).data_ptr()
        print(looking([array]), end=" ")
        first.value = 10
        print(looking([array]))
        """
    )
    assert done.stdout.split() == ["True", "True", "True", "False"]


@needs_native
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_numbers_are_those_of_numpy(dtype: str) -> None:
    values = np.array([0, 1, 100, 3.75, -2.5]).astype(dtype)
    array = jnp.asarray(values)
    for place, value in enumerate(values.tolist()):
        found = reading.functions.number_at(array, place)
        assert found == value
        assert type(found) is type(value)


KEYS = [
    lambda i, j: i,
    lambda i, j: (i,),
    lambda i, j: (i, j),
    lambda i, j: (i, i),
    lambda i, j: (i[:, None], j),
    lambda i, j: (i, slice(1, 3), j),
    lambda i, j: (slice(None), j),
    lambda i, j: (i[::2], 1),
    lambda i, j: (-i - 1, j),
]


@pytest.mark.parametrize("key", KEYS)
def test_indexing_is_torchs(way: None, key: Any) -> None:
    def run(lib: Any) -> Any:
        x = lib.arange(60.0).reshape(3, 4, 5).requires_grad_()
        i, j = lib.tensor([0, 2, 1, 0]), lib.tensor([3, 0, 1, 1])
        y = x[key(i, j)]
        (y * y).sum().backward()
        z = x.detach().clone()
        z[key(i, j)] = -1.0
        return y.detach().numpy(), x.grad.numpy(), z.numpy(), y.grad_fn.name()

    for ours, theirs in zip(run(fb), run(torch), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, x, i: x[i],
        lambda lib, x, i: x[i, i],
        lambda lib, x, i: x[-i - 1],
        lambda lib, x, i: x[lib.zeros(4, dtype=lib.long), i],
        lambda lib, x, i: x[:0][i],
        lambda lib, x, i: x[i, i, i],
        lambda lib, x, i: x.__setitem__((i, i), 0.0),
        lambda lib, x, i: lib.nn.functional.embedding(i, x),
        lambda lib, x, i: x.gather(1, i[None]),
        lambda lib, x, i: x.index_select(0, i),
    ],
)
def test_what_is_outside_is_refused(way: None, call: Any) -> None:
    errors = []
    lib: Any
    for lib in (fb, torch):
        x, i = lib.arange(12.0).reshape(3, 4), lib.tensor([0, 1, 2, 5])
        with pytest.raises((IndexError, RuntimeError)) as caught:
            call(lib, x, i)
        errors.append(caught)
    assert errors[0].type is errors[1].type
    if errors[0].type is IndexError:
        assert str(errors[0].value).startswith(str(errors[1].value).split("\n")[0][:40])


def test_all_of_an_empty_key_is_the_tensor(way: None) -> None:
    x = fb.arange(3.0)
    assert x[()].tolist() == [0.0, 1.0, 2.0]
    bits = fb.arange(2).view(fb.int32)  # whose memory has another dtype
    assert fb.arange(3.0)[bits].tolist() == torch.arange(3.0)[torch.arange(2).view(torch.int32)].tolist()


def test_numbers_of_tensors(way: None) -> None:
    lib: Any
    for lib in (fb, torch):
        x = lib.arange(6.0).reshape(2, 3)
        assert x[1, 2].item() == 5.0
        assert x.t()[2, 0].item() == 2.0
        assert lib.tensor(True).item() is True
        assert lib.tensor(7).item() == 7
        assert lib.tensor(0.1, dtype=lib.bfloat16).item() == 0.10009765625
