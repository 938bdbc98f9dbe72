"""The native matrix product against NumPy's in float64, its gradients, and what decides which kernel computes it."""

from __future__ import annotations

import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flambeau import native
from flambeau.native.product import product

# rows, inner size, columns: small and large, few rows on a matrix beyond the caches (odd sizes too), few columns
SHAPES = [
    (1, 1, 1),
    (3, 5, 7),
    (64, 256, 128),
    (300, 200, 100),
    (1, 2049, 1031),
    (16, 1500, 1405),
    (7, 40, 60001),
    (31, 17, 131072),
    (32, 2048, 1024),
    (33, 2048, 1024),
    (4096, 16, 4097),
    (2048, 1024, 16),
]


def matrices(rows: int, inner: int, columns: int, turned_a: bool, turned_b: bool, dtype: str) -> list[jax.Array]:
    numbers = np.random.default_rng(rows + inner + columns)
    a = numbers.standard_normal((inner, rows) if turned_a else (rows, inner))
    b = numbers.standard_normal((columns, inner) if turned_b else (inner, columns))
    return [jnp.asarray(a, dtype), jnp.asarray(b, dtype)]


def exact(a: jax.Array, b: jax.Array, turned_a: bool, turned_b: bool) -> np.ndarray:
    left, right = (np.asarray(x, np.float64) for x in (a, b))
    return (left.T if turned_a else left) @ (right.T if turned_b else right)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(shape: tuple[int, int, int], dtype: str) -> None:
    for turned_a, turned_b in itertools.product((False, True), repeat=2):
        a, b = matrices(*shape, turned_a, turned_b, dtype)
        made = np.asarray(product(a, b, turned_a, turned_b), np.float64)
        expected = exact(a, b, turned_a, turned_b)
        tolerance = 2e-6 if dtype == "float32" else 1e-2
        assert np.abs(made - expected).max() <= tolerance * np.sqrt(shape[1]) * 5
        assert made.shape == expected.shape


def test_nan_and_infinity_go_through() -> None:
    a, b = matrices(4, 2048, 2048, False, False, "float32")
    b = b.at[5, 7].set(jnp.nan).at[6, 8].set(jnp.inf)
    made = np.asarray(product(a, b))
    assert np.isnan(made[:, 7]).all()
    assert np.isinf(made[:, 8]).all()
    assert np.isfinite(made[:, 9:]).all()


@pytest.mark.parametrize("turned_a", [False, True])
@pytest.mark.parametrize("turned_b", [False, True])
def test_gradients(turned_a: bool, turned_b: bool) -> None:
    a, b = matrices(16, 1024, 2048, turned_a, turned_b, "float32")

    def by_kernel(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.sum(product(a, b, turned_a, turned_b) ** 2)

    def by_xla(a: jax.Array, b: jax.Array) -> jax.Array:
        left, right = a.T if turned_a else a, b.T if turned_b else b
        return jnp.sum(jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST) ** 2)

    for ours, theirs in zip(jax.grad(by_kernel, (0, 1))(a, b), jax.grad(by_xla, (0, 1))(a, b), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-2)


def test_two_threads_at_once() -> None:
    pairs = [matrices(16, 2048, 2048, False, False, "float32") for _ in range(2)]
    expected = [exact(*pair, False, False) for pair in pairs]
    wrong: list[float] = []

    def work(pair: list[jax.Array], expected: np.ndarray) -> None:
        for _ in range(20):
            wrong.append(np.abs(np.asarray(product(*pair)) - expected).max())

    threads = [threading.Thread(target=work, args=job) for job in zip(pairs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 40
    assert max(wrong) < 1e-2


def test_one_thread_gives_the_same() -> None:
    a, b = matrices(16, 1500, 1405, False, False, "float32")
    together = np.asarray(product(a, b))
    before = native.get_num_threads()
    native.set_num_threads(1)
    try:
        np.testing.assert_array_equal(np.asarray(product(a, b)), together)
    finally:
        native.set_num_threads(before)
