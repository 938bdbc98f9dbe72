"""Arguments of unusual kinds that operators take, or refuse, as PyTorch does."""

import pytest
import torch

import flambeau as fb

PROGRAMS = {
    "std of a dimension that is a tensor": lambda lib: lib.arange(6.0).reshape(2, 3).std(lib.tensor(1)),
    "var and mean": lambda lib: lib.var_mean(lib.arange(6.0).reshape(2, 3), lib.tensor(0))[0],
    "std beyond": lambda lib: lib.ones(3).std(lib.tensor(1)),
    **{
        f"tensordot over {dims}": lambda lib, dims=dims: lib.tensordot(
            lib.arange(6.0).reshape(2, 3), lib.arange(6.0).reshape(3, 2), dims=lib.tensor(dims)
        )
        for dims in (1, [1], 1.0, -1, [[1], [0]], [[1], [0], [0]], [1, 0], [[1.0], [0.0]])
    },
    "bce of another dtype": lambda lib: lib.nn.functional.binary_cross_entropy(lib.tensor([2.0]), lib.tensor([1])),
    "bce of doubles": lambda lib: lib.nn.functional.binary_cross_entropy(
        lib.tensor([2.0]), lib.tensor([1.0], dtype=lib.float64)
    ),
    **{
        f"a narrow window: {beta}": lambda lib, beta=beta: lib.kaiser_window(5, True, beta)
        for beta in (50.0, 88.0, 92.0, 100.0, 200.0)
    },
}


def outcome(lib, program):
    try:
        return program(lib)
    except Exception as error:
        return type(error).__name__, str(error)[:60]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_comes_of_them(name):
    ours, theirs = outcome(fb, PROGRAMS[name]), outcome(torch, PROGRAMS[name])
    if isinstance(theirs, tuple):
        assert ours == theirs
    else:
        torch.testing.assert_close(torch.tensor(ours.tolist()), theirs, equal_nan=True)
