"""Every operator that draws, against PyTorch on the CPU: the numbers, and where the generator stands afterwards.

Whole numbers, masks and uniforms from [0, 1) are equal bit for bit. What goes through a logarithm, a power or a sine may
differ by the last bits of that function, which differ from processor to processor in PyTorch itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
import flambeau.core.context.generator as host
from flambeau.core.context.generator import Generator
from support.values import array

SHAPES = ((), (0,), (15,), (17,), (3, 5), (2, 3, 4), (2, 3, 4, 5), (1300,))
FLOATS = ("float32", "float64", "float16", "bfloat16")
SINGLES = ("float32", "float64", "bfloat16")
WIDE = ("float32", "float64")
WHOLE = ("uint8", "int8", "int16", "int32", "int64")
EVERY = (*FLOATS, *WHOLE, "bool")


def ramp(L: Any, shape: tuple[int, ...], dtype: str, low: float = -1.0, high: float = 1.0) -> Any:
    values = np.linspace(low, high, math.prod(shape)).reshape(shape)
    return L.as_tensor(values.tolist() if values.size else np.zeros(shape)).to(getattr(L, dtype))


def empty(L: Any, shape: tuple[int, ...], dtype: str) -> Any:
    return L.zeros(shape, dtype=getattr(L, dtype))


def fill(name: str, *args: Any, **kwargs: Any) -> Callable[[Any, Any, str], Any]:
    return lambda L, shape, dtype: getattr(empty(L, shape, dtype), name)(*args, **kwargs)


def of(function: Callable[[Any], Callable[[Any], Any]], low: float = -1.0, high: float = 1.0) -> Any:
    return lambda L, shape, dtype: function(L)(ramp(L, shape, dtype, low, high))


def made(name: str, *args: Any, **kwargs: Any) -> Any:
    return lambda L, shape, dtype: getattr(L, name)(*args, shape, dtype=getattr(L, dtype), **kwargs)


def like(name: str, *args: Any) -> Any:
    return lambda L, shape, dtype: getattr(L, name)(empty(L, shape, dtype), *args)


def dropout(name: str, p: float) -> Any:
    return of(lambda L: lambda x: getattr(L.nn.functional, name)(x, p, training=True))


EXACT: dict[str, tuple[Any, tuple[str, ...]]] = {
    "rand": (made("rand"), FLOATS),
    "rand_like": (like("rand_like"), FLOATS),
    "uniform_": (fill("uniform_"), FLOATS),
    "randint": (made("randint", -20, 100), ("int8", "int16", "int32", "int64", *FLOATS)),
    "randint of 2**28": (made("randint", 2**28), ("int32", "int64", "float64")),
    "randint of 2**62": (made("randint", -(2**61), 2**61), ("int64",)),
    "randint of all": (made("randint", -(2**63), 2**63 - 1), ("int64",)),
    "randint_like": (like("randint_like", 100), (*FLOATS, *WHOLE)),
    "random_": (fill("random_"), EVERY),
    "random_ to": (fill("random_", 77), (*FLOATS, *WHOLE)),
    "random_ from": (fill("random_", 5, None), (*FLOATS, *WHOLE)),
    "bernoulli_": (fill("bernoulli_"), EVERY),
    "bernoulli_ of p": (fill("bernoulli_", 0.37), EVERY),
    "bernoulli_ of 0": (fill("bernoulli_", 0.0), EVERY),
    "bernoulli_ of 1": (fill("bernoulli_", 1.0), EVERY),
    "bernoulli_ of a tensor": (
        lambda L, shape, dtype: empty(L, shape, dtype).bernoulli_(ramp(L, shape, "float32", 0, 1)), EVERY,
    ),
    "bernoulli_ of doubles": (
        lambda L, shape, dtype: empty(L, shape, dtype).bernoulli_(ramp(L, shape, "float64", 0, 1)), EVERY,
    ),
    "bernoulli": (of(lambda L: L.bernoulli, 0, 1), FLOATS),
    "bernoulli with p": (of(lambda L: lambda x: L.bernoulli(x, 0.37)), EVERY),
    # equal clocks, which half precision has often, ring in no particular order
    "multinomial": (of(lambda L: lambda x: L.multinomial(x.reshape(-1), x.numel()), 0.1, 2), WIDE),
    "multinomial of one": (of(lambda L: lambda x: L.multinomial(x.reshape(-1), 1), 0.1, 2), FLOATS),
    "multinomial with replacement": (of(lambda L: lambda x: L.multinomial(x.reshape(-1), 9, True), 0.1, 2), FLOATS),
    "geometric_": (fill("geometric_", 0.23), (*FLOATS, *WHOLE)),
    "poisson": (of(lambda L: L.poisson, 0, 60), FLOATS),
    "binomial": (of(lambda L: lambda x: L.binomial(x.floor(), x / 90), 0, 90), WIDE),
    "dropout": (dropout("dropout", 0.3), FLOATS),
    "dropout of 0": (dropout("dropout", 0.0), FLOATS),
    "dropout of 1": (dropout("dropout", 1.0), FLOATS),
    "alpha_dropout": (dropout("alpha_dropout", 0.3), FLOATS),
    "alpha_dropout of 1": (dropout("alpha_dropout", 1.0), FLOATS),
    "native_dropout": (of(lambda L: lambda x: L.native_dropout(x, 0.3, True)), FLOATS),
    "native_dropout of 1": (of(lambda L: lambda x: L.native_dropout(x, 1.0, True)), FLOATS),
    "native_dropout outside of training": (of(lambda L: lambda x: L.native_dropout(x, 0.3, False)), ("float32", "bfloat16", "int64")),
    "rrelu": (of(lambda L: lambda x: L.nn.functional.rrelu(x, training=True)), SINGLES),
    "rrelu with bounds": (of(lambda L: lambda x: L.nn.functional.rrelu(x, -0.1, 0.7, training=True)), SINGLES),
    "rrelu_": (of(lambda L: lambda x: L.rrelu_(x, training=True)), SINGLES),
}  # fmt: skip
for _name in ("feature_dropout", "feature_alpha_dropout"):
    EXACT[_name] = (of(lambda L, name=_name: lambda x: getattr(L, name)(x, 0.3, True)), FLOATS)
for _name in ("dropout1d", "dropout2d", "dropout3d"):
    EXACT[_name] = (dropout(_name, 0.3), FLOATS)
CLOSE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "uniform_ of a range": (fill("uniform_", -0.1, 0.3), FLOATS),
    "randn": (made("randn"), FLOATS),
    "randn_like": (like("randn_like"), FLOATS),
    "normal_": (fill("normal_"), FLOATS),
    "normal_ of moments": (fill("normal_", 0.5, 0.02), FLOATS),
    "normal of sizes": (lambda L, shape, dtype: L.normal(0.5, 2.0, shape, dtype=getattr(L, dtype)), FLOATS),
    "normal of tensors": (of(lambda L: lambda x: L.normal(x, x + 1)), FLOATS),
    "normal of means": (of(lambda L: lambda x: L.normal(x, 0.5)), FLOATS),
    "normal of deviations": (of(lambda L: lambda x: L.normal(0.5, x + 1)), FLOATS),
    "exponential_": (fill("exponential_"), FLOATS),
    "exponential_ of a rate": (fill("exponential_", 2.5), FLOATS),
    "cauchy_": (fill("cauchy_", 1.0, 2.0), FLOATS),
    "log_normal_": (fill("log_normal_", 0.5, 0.3), FLOATS),
    "_standard_gamma": (of(lambda L: L._standard_gamma, 0.1, 5), WIDE),
    "_sample_dirichlet": (of(lambda L: L._sample_dirichlet, 0.1, 5), WIDE),
    "gumbel_softmax": (of(lambda L: L.nn.functional.gumbel_softmax), ("float32",)),
    "gumbel_softmax, hard": (of(lambda L: lambda x: L.nn.functional.gumbel_softmax(x, hard=True)), ("float64",)),
}
for _name in ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
              "kaiming_normal_", "orthogonal_", "sparse_"):  # fmt: skip
    CLOSE[f"init.{_name}"] = (
        lambda L, shape, dtype, name=_name: getattr(L.nn.init, name)(
            empty(L, shape, dtype), **({"sparsity": 0.3} if name == "sparse_" else {})
        ),
        WIDE,
    )


def outcome(L: Any, make: Any, shape: tuple[int, ...], dtype: str) -> Any:
    L.manual_seed(len(shape) + math.prod(shape))
    L.randn(len(shape) % 2)  # one normal value is left over in half of the cases
    try:
        result = make(L, shape, dtype)
    except Exception as error:
        return type(error), array(L.get_rng_state())
    results = result if isinstance(result, tuple) else (result,)
    return [array(r) for r in results], array(L.get_rng_state())


def same_position(ours: np.ndarray, theirs: np.ndarray, what: Any) -> None:
    """The same words are next. The normal value that is left over went through a sine."""
    np.testing.assert_array_equal(ours[:5024], theirs[:5024], err_msg=f"{what}: the generator")
    np.testing.assert_array_equal(ours[5032:], theirs[5032:], err_msg=f"{what}: a normal value left over")
    kept = [state[5024:5032].view(np.float64) for state in (ours, theirs)]
    np.testing.assert_allclose(*kept, rtol=1e-13)


def compare(make: Any, dtypes: tuple[str, ...], check: Callable[[np.ndarray, np.ndarray, str, Any], None]) -> int:
    drawn = 0
    for dtype in dtypes:
        for shape in SHAPES:
            what = (shape, dtype)
            (ours, our_state), (theirs, their_state) = (outcome(L, make, shape, dtype) for L in (fb, torch))
            if isinstance(theirs, type):
                assert ours is theirs, what
                continue
            assert not isinstance(ours, type), (what, ours)
            for a, b in zip(ours, theirs, strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype), what
                check(a, b, dtype, what)
            same_position(our_state, their_state, what)
            drawn += 1
    return drawn


def equal(ours: np.ndarray, theirs: np.ndarray, dtype: str, what: Any) -> None:
    np.testing.assert_array_equal(ours, theirs, err_msg=str(what))
    if ours.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs), err_msg=f"{what}: signs of zeros")


def close(ours: np.ndarray, theirs: np.ndarray, dtype: str, what: Any) -> None:
    # A normal value is radius * cosine. An angle of up to 2 pi is rounded, so that its cosine has an error of 3 eps
    # beside that of the function; the radius is below 8. Then the sums and quotients that follow.
    eps = torch.finfo(getattr(torch, dtype)).eps
    spread = float(np.abs(theirs).max(initial=1.0))
    np.testing.assert_allclose(
        ours, theirs, rtol=8 * eps, atol=(24 * min(spread, 8.0) + 2 * spread) * eps, err_msg=str(what)
    )


@pytest.mark.filterwarnings("ignore:dropout.d. Received", "ignore:Initializing zero-element")
@pytest.mark.parametrize("name", EXACT)
def test_equal_bit_for_bit(name: str) -> None:
    assert compare(*EXACT[name], equal)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("name", CLOSE)
def test_equal_but_for_rounding(name: str) -> None:
    assert compare(*CLOSE[name], close)


# how many numbers these draw depends on values, so that a compiled function leaves them out
BY_VALUES = ("poisson", "binomial", "_standard_gamma", "_sample_dirichlet", "rrelu", "rrelu with bounds", "rrelu_")
# these decide in Python, or by what they have drawn
IN_STEPS = ("init.orthogonal_", "init.sparse_")


QUICK = ("rand_like", "normal_", "bernoulli", "multinomial", "geometric_", "dropout", "alpha_dropout", "native_dropout")


@pytest.mark.filterwarnings("ignore:dropout.d. Received")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*EXACT, *CLOSE)
        if name not in (*BY_VALUES, *IN_STEPS)
    ],
)
def test_compiled_draws_anew_at_each_call(name: str) -> None:
    shape = (3, 5)
    make, dtypes = EXACT.get(name) or CLOSE[name]
    dtype = dtypes[0]

    def step(L: Any) -> Any:
        return make(L, shape, dtype), L.randint(9, (3,))

    compiled = fb.compile(lambda: step(fb), fullgraph=True)
    for library in (fb, torch):
        library.manual_seed(4)
        library.randn(1)
    for call in range(3):
        for ours, theirs in zip(compiled(), step(torch), strict=True):
            pairs = zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]
            for a, b in pairs:
                (equal if name in EXACT else close)(array(a), array(b), dtype, (name, call))
        same_position(array(fb.get_rng_state()), array(torch.get_rng_state()), (name, call))


@pytest.mark.parametrize("name", BY_VALUES)
def test_compiled_leaves_out_what_draws_by_values(name: str) -> None:
    make, dtypes = EXACT.get(name) or CLOSE[name]
    compiled = fb.compile(lambda x: fb.rand(2).sum() + make(fb, (3, 5), dtypes[0]).sum() + x)
    torch.manual_seed(4)
    fb.manual_seed(4)
    with pytest.warns(match="how many random numbers are drawn depends"):
        compiled(fb.zeros(1))
    compiled(fb.ones(1))
    for _ in range(2):
        torch.rand(2), make(torch, (3, 5), dtypes[0])
    same_position(array(fb.get_rng_state()), array(torch.get_rng_state()), name)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "turned": lambda x: x.transpose(0, -1),
    "stepped": lambda x: x[:, ::2],
    "permuted": lambda x: x.permute(2, 0, 3, 1),
    "part": lambda x: x.permute(3, 1, 0, 2)[::2, :, :, 1:],
    "diagonal": lambda x: x.diagonal(0, 2, 3),
    "channels": lambda x: x[:1].transpose(0, 1),
    "expanded": lambda x: x[:1].expand(4, 3, 4, 5),
    "expanded and turned": lambda x: x[:1].expand(4, 3, 4, 5).transpose(0, 2),
    "turned and expanded": lambda x: x[:, :1].transpose(1, 3).expand(2, 5, 4, 6),
    "of one number": lambda x: x[0, 0, 0, 0].expand(3, 4),
}
ON_VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "dropout": lambda L, x: L.nn.functional.dropout(x, 0.3),
    "alpha_dropout": lambda L, x: L.nn.functional.alpha_dropout(x, 0.3, True),
    "feature_alpha_dropout": lambda L, x: L.nn.functional.feature_alpha_dropout(x, 0.3, True),
    "native_dropout": lambda L, x: L.native_dropout(x, 0.3, True)[1],
    "rrelu": lambda L, x: L.nn.functional.rrelu(x, training=True),
    "bernoulli": lambda L, x: L.bernoulli(x.abs()),
    "bernoulli with p": lambda L, x: L.bernoulli(x, 0.4),
    "rand_like": lambda L, x: L.rand_like(x),
    "randint_like": lambda L, x: L.randint_like(x, 50),
    "poisson": lambda L, x: L.poisson(x.abs() * 20),
    "bernoulli_": lambda L, x: x.bernoulli_(0.3),
    "bernoulli_ of a tensor": lambda L, x: x.bernoulli_(L.full(tuple(x.shape), 0.4)),
    "uniform_": lambda L, x: x.uniform_(),
    "random_": lambda L, x: x.random_(50),
    "geometric_": lambda L, x: x.geometric_(0.3),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_drawn_in_the_order_of_memory(view: str) -> None:
    for name, draw in ON_VIEWS.items():
        if (name.endswith("_") and ("expanded" in view or "one" in view)) or name == "bernoulli_ of a tensor":
            continue
        found = []
        for library in (fb, torch):
            library.manual_seed(3)
            x = VIEWS[view](ramp(library, (2, 3, 4, 5), "float32"))
            found.append((array(draw(library, x)), array(library.get_rng_state())))
        np.testing.assert_array_equal(found[0][0], found[1][0], err_msg=name)
        np.testing.assert_array_equal(found[0][1], found[1][1], err_msg=name)


DRAWS: dict[str, Callable[[Generator, int], Any]] = {
    "words": lambda g, n: g.words(n),
    "float32": lambda g, n: g.uniform(n, np.float32),
    "float32 from -1 to 1": lambda g, n: g.uniform(n, np.float32, -1, 1),
    "float64": lambda g, n: g.uniform(n, np.float64),
    "bools": lambda g, n: g.bernoulli(n, 1 / 3),
    "normal": lambda g, n: g.normal(n, np.float32),
    "normal doubles": lambda g, n: g.normal(n, np.float64),
    "permutation": lambda g, n: g.permutation(n),
    "exponential": lambda g, n: g.exponential(n, np.float64),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_library_and_numpy_draw_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In turn, from one generator and from one that never calls the library."""
    mixed, plain = Generator().manual_seed(3), Generator().manual_seed(3)
    for n in (1, 1023, 1024, 5, 2496, 4993, 623, 30000):
        drawn = DRAWS[name](mixed, n)
        with monkeypatch.context() as patch:
            patch.setattr(host, "fill", lambda *args: False)
            np.testing.assert_array_equal(drawn, DRAWS[name](plain, n))
        np.testing.assert_array_equal(mixed.get_state_bytes(), plain.get_state_bytes())


def test_ranges_are_rounded_once_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    for low, high in ((-0.1, 0.3), (5.0, 5.001), (-1e30, 1e20), (1e-20, 3e-20)):
        for dtype in (np.float32, np.float64):
            drawn = Generator().uniform(5000, dtype, low, high)
            with monkeypatch.context() as patch:
                patch.setattr(host, "fill", lambda *args: False)
                np.testing.assert_array_equal(drawn, Generator().uniform(5000, dtype, low, high))
