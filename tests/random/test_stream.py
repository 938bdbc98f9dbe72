"""The host generator against PyTorch's: state, uniforms, normal values, integers and shuffles bit for bit, the rest closely."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flambeau as fb
from flambeau import native
from flambeau.core.context.generator import Generator
from flambeau.native import random as native_random
from support.properties import examples
from support.values import array

SEEDS = st.one_of(st.integers(0, 2**32), st.sampled_from([-1, -(2**63), 2**64 - 1, 2**40 + 5]))
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([623, 624, 625, 1000, 32768, 32769, 40000]))
FLOATS = ("float32", "float64", "float16", "bfloat16")
quick = examples(40)


def pair(seed: int) -> tuple[Generator, torch.Generator]:
    return Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def same_state(ours: Generator, theirs: torch.Generator) -> None:
    np.testing.assert_array_equal(ours.get_state_bytes(), theirs.get_state().numpy())


def numpy_dtype(name: str) -> np.dtype:
    return getattr(fb, name).numpy


def filled(name: str, n: int, fill: str, *args: object, **kwargs: object) -> np.ndarray:
    return array(getattr(torch.empty(n, dtype=getattr(torch, name)), fill)(*args, **kwargs))


def values(made: np.ndarray) -> np.ndarray:
    return made.astype(np.float32) if made.dtype.name == "bfloat16" else made


@quick
@given(SEEDS, SIZES, st.sampled_from(FLOATS))
def test_uniform(seed: int, n: int, dtype: str) -> None:
    ours, theirs = pair(seed)
    np.testing.assert_array_equal(
        values(ours.uniform(n, numpy_dtype(dtype))), filled(dtype, n, "uniform_", generator=theirs)
    )
    same_state(ours, theirs)


@quick
@given(
    SEEDS,
    SIZES,
    st.sampled_from(FLOATS),
    st.floats(-100, 100, allow_subnormal=False),
    st.just(0.0) | st.floats(1e-30, 10),  # a narrower range gives subnormal numbers, and those are not rounded alike
    st.booleans(),
)
def test_uniform_range(seed: int, n: int, dtype: str, low: float, width: float, symmetric: bool) -> None:
    low, high = (-width, width) if symmetric else (low, low + width)
    ours, theirs = pair(seed)
    made = values(ours.uniform(n, numpy_dtype(dtype), low, high))
    np.testing.assert_array_equal(made, filled(dtype, n, "uniform_", low, high, generator=theirs))
    same_state(ours, theirs)


@quick
@given(
    SEEDS,
    SIZES,
    st.integers(-(2**63), 2**63 - 2),
    st.one_of(st.integers(1, 100), st.sampled_from([2**28 - 1, 2**28, 2**32, 2**32 + 1, 2**50, 2**63, 2**64 - 1])),
)
def test_integers(seed: int, n: int, low: int, span: int) -> None:
    high = min(low + span, 2**63 - 1)
    ours, theirs = pair(seed)
    made = ours.integers(n, np.int64, low, high)
    np.testing.assert_array_equal(made, torch.randint(low, high, (n,), generator=theirs).numpy())
    same_state(ours, theirs)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", *FLOATS])
def test_integers_without_bounds(dtype: str) -> None:
    ours, theirs = pair(3)
    np.testing.assert_array_equal(
        values(ours.any_integers(1000, numpy_dtype(dtype))), filled(dtype, 1000, "random_", generator=theirs)
    )
    same_state(ours, theirs)


@quick
@given(SEEDS, st.one_of(st.integers(0, 50), st.sampled_from([1000, 20000, 70000])))
def test_permutation(seed: int, n: int) -> None:
    ours, theirs = pair(seed)
    np.testing.assert_array_equal(ours.permutation(n), torch.randperm(n, generator=theirs).numpy())
    same_state(ours, theirs)


by_torch_itself = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="without AVX2 PyTorch's own numbers are others"
)


@pytest.fixture(params=["compiled", "NumPy"])
def drawn_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "NumPy":
        monkeypatch.setattr(native_random, "_function", lambda name: None)
    else:
        native.available()  # before that few numbers are NumPy's


@by_torch_itself
@pytest.mark.usefixtures("drawn_by")
@pytest.mark.parametrize("moments", [(0.0, 1.0), (0.5, 0.02), (-3.0, 2.5)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_normal(dtype: str, moments: tuple[float, float]) -> None:
    mean, std = moments
    for seed, n in enumerate((*range(1, 40), 623, 624, 625, 1000, 40000)):
        ours, theirs = pair(seed)
        made = values(ours.normal(n, numpy_dtype(dtype), mean, std))
        unit = (
            0.0 if dtype in ("float32", "float64") else 4 * fb.finfo(getattr(fb, dtype)).eps
        )  # of a half, rounded at each step
        expected = filled(dtype, n, "normal_", mean, std, generator=theirs)
        np.testing.assert_allclose(made.astype(np.float64), expected.astype(np.float64), rtol=unit, atol=unit * std)
        same_state(ours, theirs)


@pytest.mark.usefixtures("drawn_by")
def test_whole_numbers_are_drawn_alike_by_both() -> None:
    for seed, n in enumerate((1, 2, 7, 8, 9, 300, 1000, 5000)):
        ours, theirs = pair(seed)
        for low, high in ((0, 1), (0, 10), (-1000, 2**28 - 1001), (5, 2**28 + 5), (0, 2**40)):
            expected = torch.randint(low, high, (n,), generator=theirs)
            np.testing.assert_array_equal(ours.integers(n, np.int64, low, high), expected.numpy())
        np.testing.assert_array_equal(ours.permutation(n), torch.randperm(n, generator=theirs).numpy())
        same_state(ours, theirs)


@pytest.mark.usefixtures("drawn_by")
def test_normals_one_by_one_keep_the_second_of_a_pair() -> None:
    ours, theirs = pair(11)
    for n in (1, 3, 20, 1, 15, 2, 1):
        made = ours.normal(n, np.float64)
        np.testing.assert_array_equal(made, torch.randn(n, dtype=torch.float64, generator=theirs).numpy())
        same_state(ours, theirs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("ours_name", "theirs_name", "args"),
    [
        ("exponential", "exponential_", (1.0,)),
        ("exponential", "exponential_", (0.3,)),
        ("geometric", "geometric_", (0.3,)),
        ("geometric", "geometric_", (0.99,)),
        ("log_normal", "log_normal_", (0.5, 0.3)),
        ("cauchy", "cauchy_", (1.5, 2.0)),
    ],
)
def test_other_distributions(dtype: str, ours_name: str, theirs_name: str, args: tuple[float, ...]) -> None:
    for n in (1, 5, 501):
        ours, theirs = pair(n)
        made = values(getattr(ours, ours_name)(n, numpy_dtype(dtype), *args))
        np.testing.assert_allclose(made, filled(dtype, n, theirs_name, *args, generator=theirs), rtol=1e-7, atol=1e-7)
        same_state(ours, theirs)


@quick
@given(SEEDS, SIZES, st.floats(0, 1))
def test_bernoulli(seed: int, n: int, p: float) -> None:
    ours, theirs = pair(seed)
    np.testing.assert_array_equal(ours.bernoulli(n, p), filled("bool", n, "bernoulli_", p, generator=theirs))
    chances = np.linspace(0, 1, n, dtype=np.float32)
    for given_ in (chances, chances.astype(np.float64), chances.astype(np.float16)):
        made = ours.bernoulli_each(given_)
        np.testing.assert_array_equal(made, torch.bernoulli(torch.from_numpy(given_), generator=theirs).numpy())
    same_state(ours, theirs)


@quick
@given(SEEDS, st.integers(1, 20), st.integers(1, 3), st.booleans(), st.sampled_from(["float32", "float64", "float16"]))
def test_multinomial(seed: int, n: int, rows: int, replacement: bool, dtype: str) -> None:
    weights = torch.rand(rows, 20, generator=torch.Generator().manual_seed(seed)).to(getattr(torch, dtype))
    ours, theirs = pair(seed)
    made = fb.multinomial(fb.from_numpy(weights.numpy()), n, replacement, generator=ours).numpy()
    np.testing.assert_array_equal(made, torch.multinomial(weights, n, replacement, generator=theirs).numpy())
    same_state(ours, theirs)


# --- the state -------------------------------------------------------------------------------------------------------


@quick
@given(SEEDS, st.lists(st.sampled_from(["rand", "randn", "wide", "many"]), max_size=6))
def test_states_are_interchangeable(seed: int, draws: list[str]) -> None:
    ours, theirs = pair(seed)
    for step in draws:
        if step == "rand":
            ours.uniform(3, np.float32), torch.rand(3, generator=theirs)
        elif step == "randn":
            ours.normal(1, np.float32), torch.randn(1, generator=theirs)
        elif step == "wide":
            ours.integers(2, np.int64, 0, 2**60), torch.randint(0, 2**60, (2,), generator=theirs)
        else:
            ours.uniform(624, np.float32), torch.rand(624, generator=theirs)
    same_state(ours, theirs)
    assert ours.initial_seed() == theirs.initial_seed()
    # into each other
    taken = Generator()
    taken.set_state_bytes(theirs.get_state().numpy())
    same_state(taken, theirs)
    given_back = torch.Generator()
    given_back.set_state(torch.from_numpy(ours.get_state_bytes()))
    same_state(ours, given_back)
    np.testing.assert_array_equal(ours.uniform(700, np.float64), torch.rand(700, dtype=torch.float64, generator=theirs))


def test_copies_go_on_from_the_same_place() -> None:
    generator = Generator().manual_seed(7)
    generator.normal(3, np.float32)
    for twin in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator)), generator.clone_state()):
        np.testing.assert_array_equal(twin.get_state_bytes(), generator.get_state_bytes())
        twin.uniform(1, np.float32)
        assert (twin.get_state_bytes() != generator.get_state_bytes()).any()


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (np.zeros(3, np.uint8), RuntimeError),
        (np.zeros(5056, np.uint8), RuntimeError),
        (np.zeros(5056, np.float32), TypeError),
    ],
)
def test_bad_states(state: np.ndarray, error: type[Exception]) -> None:
    generator = Generator().manual_seed(1)
    before = generator.get_state_bytes()
    with pytest.raises(error, match="state"):
        generator.set_state_bytes(state)
    np.testing.assert_array_equal(generator.get_state_bytes(), before)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seeds_out_of_range(seed: int) -> None:
    for generator in (Generator(), torch.Generator()):
        with pytest.raises(ValueError, match="Overflow when unpacking long long"):
            generator.manual_seed(seed)


def test_seed_must_be_an_integer() -> None:
    for generator in (Generator(), torch.Generator()):
        with pytest.raises(RuntimeError, match="manual_seed expected a long, but got float"):
            generator.manual_seed(1.5)


@pytest.mark.parametrize("kind", ["chunk", "column", "expanded", "step", "turned", "turned part"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_like_a_view(kind: str, dtype: str) -> None:
    """The result of a view that leaves gaps is filled as any other, only one that keeps a turned order is not."""
    looks = {
        "chunk": lambda x: x.chunk(2, 1)[0], "column": lambda x: x[:, 1], "expanded": lambda x: x[:1].expand(16, 4),
        "step": lambda x: x[::2], "turned": lambda x: x.t(), "turned part": lambda x: x.t()[:2],
    }  # fmt: skip
    drawn = []
    for library in (torch, fb):
        x = looks[kind](library.zeros(16, 4, dtype=getattr(library, dtype)))
        library.manual_seed(2)
        drawn.append([library.randn_like(x).tolist(), library.rand_like(x).tolist(), library.rand(1).item()])
    for ours, theirs in zip(drawn[1], drawn[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6)
