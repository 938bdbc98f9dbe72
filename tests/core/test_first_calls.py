"""What NumPy computes before XLA does: the same to the bit, or left to XLA."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import flambeau as fb
from flambeau.core.array import executables, first_calls, programs
from flambeau.core.array.by_numpy import Refused, Written
from flambeau.core.dispatch import small
from flambeau.native.moving import rows_at
from flambeau.native.xla_options import QUICKLY, known

PLACES = np.array([[2, 0], [-1, 7], [1, 1]])


def _adjoint(function):
    return lambda x, y: jax.vjp(lambda x: function(x, y), x)[1](y[:3, :4] if function is _part else y)[0]


def _part(x, y):
    return x[1:4, ::2]


TAKEN = {
    "add": lambda x, y: x + y,
    "sub_mul": lambda x, y: (x - y, x * y, x * 2.5, 1.5 - x),
    "div": lambda x, y: x / y,
    "squares": lambda x, y: (x**2, lax.square(x), jnp.sqrt(jnp.abs(x))),
    "compared": lambda x, y: (x < y, x <= y, x == y, x != y, jnp.isfinite(x), jnp.isnan(x)),
    "chosen": lambda x, y: (jnp.where(x > y, x, 0.0), jnp.maximum(x, y), jnp.minimum(x, y), jnp.clip(x, -1, 1)),
    "whole": lambda x, y: (jnp.floor(x), jnp.ceil(x), -x, jnp.abs(x)),
    "cast": lambda x, y: (x.astype(np.float32), x.astype(np.float64), x.astype(bool), (x > 0).astype(np.int64)),
    "turned": lambda x, y: (x.T, x[:, ::-1], x.reshape(-1), x[1:, ::2], x[None]),
    "joined": lambda x, y: (jnp.concatenate([x, y], 1), jnp.pad(x, ((1, 2), (0, 1)), constant_values=3)),
    "stacked": lambda x, y: (jnp.stack([x, y], 1), jnp.stack([x[0, 0], y[1, 1], x[2, 3]]), jnp.stack([x > y])),
    "padded": lambda x, y: lax.pad(x, jnp.zeros((), x.dtype), ((1, 0, 2), (0, 3, 1))),
    "broadcast": lambda x, y: (x + y[0], x * y[:, :1], jnp.broadcast_to(x[:, None], (6, 3, 8))),
    "largest": lambda x, y: (x.max(), x.max(1), x.min(0), x.argmax(1), x.argmin(0)),
    "zeros": lambda x, y: (jnp.where(x == 0, x, -0.0).max(1), jnp.where(x == 0, x, 0.0).min(1)),
    "counted": lambda x, y: ((x > y).sum(), (x > y).any(0), (x > y).all(1), jnp.cumsum(x > y, 1)),
    "rows": lambda x, y: (x[PLACES], jnp.take(x, PLACES, 1, mode="fill"), jnp.take(x, PLACES, 0, mode="clip")),
    "along": lambda x, y: jnp.take_along_axis(x, jnp.argmax(y, 1)[:, None], 1),
    "dynamic": lambda x, y: (
        lax.dynamic_slice(x, (y.argmax(), 1), (2, 3)),
        lax.dynamic_update_slice(x, y[:2, :3], (5, 9)),
    ),
    "remainders": lambda x, y: (jnp.arange(-9, 9) % 4, lax.rem(jnp.arange(-9, 9), jnp.int64(4)), jnp.arange(5) ** 2),
    "put": lambda x, y: (
        x.at[PLACES].set(y[:3, None]),
        x.at[:, PLACES[:, 0]].set(y[:, :3], mode="drop"),
        x.at[5].set(2.0),
    ),
    "put along": lambda x, y: jnp.put_along_axis(x, jnp.argmax(y, 1)[:, None], y[:, :1], 1, inplace=False),
    "put, added": lambda x, y: (
        jnp.zeros_like(x).at[PLACES].add(y[:3, None], mode="clip"),
        x.at[jnp.array([1, 9, -1, 1]), jnp.array([2, 0, 3, 2])].add(y[0, :4]),
        jnp.full(3, -0.0, x.dtype).at[jnp.array([2, 2, 0])].add(-0.0),
        jnp.arange(5).at[PLACES].add(jnp.int64(-7)),
    ),
    "rows of a table": lambda x, y: rows_at(x, jnp.array([[2, 0], [-1, 7], [5, 5]])),
    "split": lambda x, y: (*jnp.split(x, [3, 4], 1), *lax.split(y, (2, 4), 0)[:1]),
    "sorted": lambda x, y: (
        jnp.sort(PLACES, 1),
        jnp.argsort(jnp.argmax(x, 1) % 3),
        lax.sort((jnp.argmax(y, 1), x[:, 0]))[1],
    ),
    "gradient of rows": _adjoint(lambda x, y: rows_at(x, jnp.array([2, 2, 0, 5, 2, 1]))),
    "gradient of mul": _adjoint(lambda x, y: x * 1.5),
    "gradient of where": _adjoint(lambda x, y: jnp.where(x > y, x, y)),
    "gradient of a sum": lambda x, y: jax.vjp(lambda x: x.sum(1), x)[1](y[:, 0])[0],
    "gradient of a slice": _adjoint(_part),
}
REFUSED = {
    "contracted": lambda x, y: x * y + y,
    "reassociated": lambda x, y: (x + 1.5) + 2.5,
    "reciprocal": lambda x, y: x / 11.0,
    "reciprocal of one": lambda x, y: x / y[0],
    "casts there and back": lambda x, y: x.astype(np.float64).astype(np.float32),
    "of zero": lambda x, y: x + 0.0,
    "a product with a bool": lambda x, y: (x > 0) * y,
    "a product with a bool, cast twice": lambda x, y: (x > 0).astype(np.int8).astype(y.dtype) * y,
    "exponential": lambda x, y: jnp.exp(x),
    "sums": lambda x, y: x.sum(),
    "products": lambda x, y: x @ y.T,
    "a sum at one place": lambda x, y: jnp.zeros_like(x).at[jnp.array([1])].add(y[:1]),
    "a sum of products": lambda x, y: x.at[jnp.array([1, 1])].add(y[:2] * y[2:4]),
    "a product at places": lambda x, y: x.at[jnp.array([1, 1])].multiply(y[:2]),
    "another function at places": lambda x, y: x.at[jnp.array([1, 2])].apply(jnp.sqrt),
    "complex numbers": lambda x, y: x.astype(np.complex64),
    "floats in order": lambda x, y: jnp.sort(x),
    "loops": lambda x, y: lax.fori_loop(0, 3, lambda i, x: -x, x),
}


def _arrays(dtype):
    rng = np.random.default_rng(3)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e30]
    x, y = (rng.standard_normal((6, 8)).astype(dtype) * 3 for _ in range(2))
    pairs = np.array(list(itertools.product(special, special)), dtype)[:48]
    return [(x, y), (pairs[:, 0].reshape(6, 8), pairs[:, 1].reshape(6, 8))]


def _bits(array):
    array = np.asarray(array)
    return np.where(np.isnan(array), 7.0, array).tobytes() if array.dtype.kind == "f" else array.tobytes()


@pytest.mark.parametrize("name", TAKEN)
def test_the_same_to_the_bit(name):
    for dtype in (np.float32, np.float64):
        cases = _arrays(dtype)
        written = Written(jax.make_jaxpr(TAKEN[name])(*cases[0]))
        compiled = jax.jit(TAKEN[name], compiler_options=known(QUICKLY))
        for x, y in cases:
            wanted = jax.tree_util.tree_leaves(compiled(x, y))
            try:
                results = written([x, y])
            except Refused as error:
                assert str(error) == "nan" and np.isnan(x).any()
                continue
            for made, want in zip(results, wanted, strict=True):
                assert (made.dtype, made.shape, _bits(made)) == (want.dtype, want.shape, _bits(want))
                assert not np.may_share_memory(made, x) and not np.may_share_memory(made, y)


@pytest.mark.parametrize("name", REFUSED)
def test_left_to_xla(name):
    with pytest.raises(Refused):
        Written(jax.make_jaxpr(REFUSED[name])(*_arrays(np.float32)[0]))


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (lambda x, y: x * y, [1e-39, 1.0]),
        (lambda x, y: x * y, [1e-20, 1.0]),
        (lambda x, y: x >= 1e-40, [0.0, 1.0]),
        (lambda x, y: x * np.float32(0.5), [2.3509885e-38, 1.0]),  # which is rounded up from a subnormal number
        (lambda x, y: x * y, [np.nan, 1.0]),
        (lambda x, y: x - y, [np.inf, 1.0]),
        (lambda x, y: lax.abs(x) >= 0, [np.nan, 1.0]),  # XLA holds it to be true
        (lambda x, y: (x[None] - x[:, None]).max(0), [np.inf, 1.0]),  # nan, which XLA loses
        (lambda x, y: x.at[jnp.array([0, 1])].add(y), [1e-32, 1.0]),  # a difference of such numbers may be subnormal
        (lambda x, y: lax.clamp(np.float32(np.nan), x, np.float32(1)), [1.0, 2.0]),
    ],
)
def test_subnormal_numbers_and_nan_are_left_to_xla(function, numbers):
    x = np.array(numbers, np.float32)
    with pytest.raises(Refused, match=r"subnormal|nan"):
        Written(jax.make_jaxpr(function)(x, x))([x, x])


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8])
@pytest.mark.parametrize(
    "function",
    [lambda x: x * x < 0, lambda x: (x[None] - x[:, None]).max(0), lambda x: x.sum(dtype=x.dtype) > 0],
    ids=["less", "max", "sum"],
)  # fmt: skip
def test_integers_that_overflow_are_left_to_xla_where_that_shows(function, dtype):
    x = np.array([np.iinfo(dtype).max, 1], dtype)
    with pytest.raises(Refused):
        Written(jax.make_jaxpr(function)(x))([x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_at_places_are_added_in_order(dtype):
    rng = np.random.default_rng(5)
    for rows, width, count in ((7, 3, 40), (30, 16, 65), (2, 1, 130), (50, 33, 8)):
        x, y = rng.standard_normal((rows, width)).astype(dtype), rng.standard_normal((count, width)).astype(dtype)
        places = rng.integers(-3, rows + 3, count)

        def function(x, y, places):
            return (
                jnp.zeros_like(x).at[places].add(y, mode="drop"),
                jnp.zeros_like(x).at[places].set(y, mode="clip"),
                x[:, 0].at[places].add(y[:, 0]),
            )

        wanted = jax.jit(function)(x, y, places)
        made = Written(jax.make_jaxpr(function)(x, y, places))([x, y, places])
        assert list(map(_bits, made)) == list(map(_bits, wanted))


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_a_function_of_many_shapes_is_numpys_for_longer(monkeypatch):
    run, seen = programs.jit(lambda x: -x), []
    answer = first_calls.FirstCalls.answer

    def told(*given):
        seen.append((made := answer(*given)) is not first_calls.XLAS)
        return made

    monkeypatch.setattr(first_calls.FirstCalls, "answer", told)
    monkeypatch.setattr(executables, "store", lambda: None)
    for size in (*range(200, 200 + first_calls._FEW), 300):
        seen.clear()
        for _ in range(9 if size in (200, 300) else 1):
            assert run(jax.device_put(np.ones(size, np.float32))).tolist() == [-1.0] * size
        if size == 200:
            assert not seen[-1]  # eight calls, as ever
    assert all(seen[1:])  # (the first of all is asked before there is a trace)


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_views_of_a_new_shape_need_no_compilation(monkeypatch):
    monkeypatch.setattr(executables, "store", lambda: None)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    x = fb.arange(3.0 * 7 * 41).reshape(3, 7, 41).requires_grad_()
    compiled.clear()
    part = x.transpose(1, 2)[:, 1:, :2]
    made, (gradient,) = part.numpy(force=True), fb.autograd.grad(part, x, fb.ones(3, 40, 2))
    assert not any("backend_compile" in name for name in compiled)
    whole = np.arange(3.0 * 7 * 41).reshape(3, 7, 41)
    assert np.array_equal(made, whole.transpose(0, 2, 1)[:, 1:, :2])
    assert gradient.sum() == 240 and gradient[:, :2, 1:].sum() == 240


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_writes_into_parts_of_a_new_shape_need_no_compilation(monkeypatch):
    monkeypatch.setattr(executables, "store", lambda: None)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    made, wanted, kept = fb.zeros(5, 83), np.zeros((5, 83), np.float32), []
    compiled.clear()
    for row in range(5):
        kept.append(made.clone())
        made[row, 70 - row :] = -float(row)
        made[row, : 11 + row] = fb.arange(11.0 + row)
        wanted[row, 70 - row :], wanted[row, : 11 + row] = -row, np.arange(11 + row)
    assert made.tolist() == wanted.tolist() and not any("backend_compile" in name for name in compiled)
    assert [k.count_nonzero().item() for k in kept] == [np.count_nonzero(wanted[:row]) for row in range(5)]
    monkeypatch.setattr(small, "put", lambda *given: False)
    for _ in range(80):  # and XLA, which takes the array's memory over, writes the same
        made[2, 3:70] = 5
        wanted[2, 3:70] = 5
    assert made.tolist() == wanted.tolist() and any("backend_compile" in name for name in compiled)


def test_zeros_of_both_signs_among_many_are_left_to_xla():
    x = np.where(np.arange(4096) % 2, 0.0, -0.0).astype(np.float32).reshape(64, 64)
    for function in (lambda x: x.max(1), lambda x: x.min(0)):
        with pytest.raises(Refused, match="zeros"):
            Written(jax.make_jaxpr(function)(x))([x])
        one = np.abs(x)
        assert not np.signbit(Written(jax.make_jaxpr(function)(one))([one])).any()


def test_results_share_no_memory():
    run = programs.jit(lambda x: (y := -x, y, x, x[1:], x.reshape(-1)))
    x = jax.device_put(np.arange(1024, dtype=np.float32).reshape(32, 32))
    places = [a.unsafe_buffer_pointer() for a in (x, *run(x))]
    assert len(set(places)) == len(places)


def test_numbers_that_integers_do_not_have_are_left_to_xla():
    written = Written(jax.make_jaxpr(lambda x: x.astype(np.int32))(np.ones(2, np.float32)))
    assert written([np.array([-3.7, 3.7], np.float32)])[0].tolist() == [-3, 3]
    for bad in (np.nan, 3e9):
        with pytest.raises(Refused):
            written([np.array([bad, 0], np.float32)])


@pytest.mark.parametrize("place", [None, jax.devices()[0]], ids=["free", "put there"])
def test_results_are_bound_to_the_device_as_xlas_are(place):
    run = programs.jit(lambda x, y: (jnp.where(x > 0, -x, 0.5), jnp.float32(3)))
    x, y = jax.device_put(np.arange(-2, 3.0), place), jax.device_put(np.ones(7), jax.devices()[0])
    made = [run(x, y), jax.jit(run._fun)(x, y)]
    for a, b in zip(*made, strict=True):
        assert (a.tolist(), a.aval, a.committed, a.sharding) == (b.tolist(), b.aval, b.committed, b.sharding)


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_xla_takes_over_without_a_trace(monkeypatch):
    compilations = []
    monkeypatch.setattr(executables, "store", lambda: None)  # nothing is found on the disk
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compilations.append(name))
    monkeypatch.setattr(first_calls, "BUDGET", 1.0)
    monkeypatch.setattr(first_calls, "_MORE", 1)  # tests before this one may have given these functions many shapes
    x = fb.arange(3 * 5 * 37).reshape(3, 5, 37) / 7 - 20
    seen, made = [], []
    for _ in range(6):
        compilations.clear()
        made.append((fb.maximum(x, -x) * x).numpy())
        seen.append(any("backend_compile" in name for name in compilations))
    assert not seen[0] and not seen[-1] and any(seen)
    assert all(m.tobytes() == made[0].tobytes() for m in made)
    # and JAX's dispatcher calls its programs by itself
    asked = []
    monkeypatch.setattr(first_calls.FirstCalls, "answer", lambda *given: asked.append(given) or first_calls.XLAS)
    assert (fb.maximum(x, -x) * x).numpy().tobytes() == made[0].tobytes() and not asked


@pytest.mark.skipif(not first_calls.SERVES, reason="this version of JAX is not known, or it is turned off")
def test_a_program_that_xla_has_taken_over_no_longer_enters_python(monkeypatch):
    asked = []
    answer = first_calls.FirstCalls.answer
    monkeypatch.setattr(first_calls.FirstCalls, "answer", lambda *a: asked.append(1) or answer(*a))
    monkeypatch.setattr(first_calls, "BUDGET", 1.0)
    run, x = programs.jit(lambda x: -x), jax.device_put(np.ones((3, 71), np.float32))
    for _ in range(8):
        run(x)
    asked.clear()
    for _ in range(5):
        run(x)
    assert not asked
