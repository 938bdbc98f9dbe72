"""`torch.testing.assert_close`: what its errors tell, against PyTorch; and texts of other errors in PyTorch's words."""

import re
import warnings

import numpy as np
import pytest
import torch

import flambeau

PAIRS = """
t([1., 2.]), t([1., 2.1])
t([1., 2.]), t([1, 2])
t([1., 2.]), t([1., 2., 3.])
1.0, 1.1
1, 2
1, 1.0
1j, 2j
[1, 2.], [1, 2.5]
{'a': t([1.]), 'b': 1}, {'a': t([0.]), 'b': 1}
{'a': 1}, {'b': 1}
t(float('nan')), t(float('nan'))
t([1., 2.]), t([0., 0.]), msg=lambda m: 'Header' + m
t([1, 2, 3]), t([1, 2, 4])
t([True]), t([False])
t([1., 2.]), 'a'
'a', 'a'
None, 1
t([1.]), t([1.]), rtol=0.1
t([1., 1., 1.]), t([1, 1.2, 5]), rtol=0.1, atol=0.0
t([[1., 2.], [3., 4.]]).t(), t([[1., 3.], [2., 4.]]), check_stride=True
[t([1.])], (t([1.]), t([1.]))
[[t([1.])], {'x': [t([1.]), t([2.])]}], [[t([1.])], {'x': [t([1.]), t([3.])]}]
t(1+1j), t(1+2j)
True, False
t(1.), 1.0
np.ones(2), np.zeros(2)
np.float32(1), 1.
1., np.float32(1.5)
np.int64(1), 1.
1, np.int64(1)
np.ones(2), t([1., 1.])
t([1., 2.]).to_sparse(), t([1., 3.]).to_sparse()
t([1., 2.]).to_sparse(), t([1., 0.]).to_sparse()
t([1., 2.]).to_sparse(), t([1., 2.])
t([1., 2.]).half(), t([1.01, 2.]).half()
t([1., float('nan'), 3.]), t([1., 2., 4.])
t([1., 2.]), t([1., 2.]).double(), check_dtype=False
[], []
""".strip().split("\n")


def told(lib, text):
    scope = {"t": lib.tensor, "np": np, "check": lib.testing.assert_close}
    try:
        eval(f"check({text})", scope)
    except Exception as error:
        return type(error).__name__, re.sub(r"flambeau[\w.]*\.", "torch.", str(error))
    return None


@pytest.mark.parametrize("text", PAIRS)
def test_message(text):
    assert told(flambeau, text) == told(torch, text)


WORDS = """
x[0] = torch.zeros(5)
x[0] = torch.zeros(1, 2, 4)
x[0, 0] = [1, 2]
x['a']
x[0:2:0] = 1
'a' in x
int(z)
torch.relu(z)
x.norm()
torch.linalg.inv(x[0])
torch.einsum('i.j', x)
""".strip().split("\n")


@pytest.mark.parametrize("program", WORDS)
def test_errors_hold_the_words(program):
    errors = []
    for lib in (torch, flambeau):
        scope = {"torch": lib, "x": lib.arange(12).reshape(1, 3, 4), "z": lib.tensor(1 + 2j)}
        with pytest.raises(Exception) as caught:
            exec(program, scope)
        errors.append((caught.type.__name__, str(caught.value)))
    assert errors[1][0] == errors[0][0]
    assert errors[0][1].replace("LongTensor{", "FloatTensor{") in errors[1][1]


def test_complex_numbers_as_bools():
    for lib in (torch, flambeau):
        z = lib.tensor([1j, 0, 2, 1 + 1j])
        kept = lib.zeros(4, dtype=lib.bool)
        kept[:] = z
        made = [z.bool(), z.to(lib.bool), kept, lib.empty(4, dtype=lib.bool).copy_(z)]
        assert [m.tolist() for m in made] == [[True, False, True, True]] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(flambeau.tensor(2 + 0j)) == 2.0


@pytest.mark.parametrize("check", [True, False])
def test_a_trace_that_gives_something_else_each_time(check):
    state, told = flambeau.get_rng_state(), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = flambeau.nn.Sequential(flambeau.nn.BatchNorm1d(2), flambeau.nn.Dropout(0.5))
        flambeau.jit.trace(model, flambeau.ones(3, 2) * flambeau.arange(3.0)[:, None], check_trace=check)
        flambeau.jit.trace(lambda x: x * 2, flambeau.ones(2))
        told = [str(w.message) for w in caught if w.category is flambeau.jit.TracerWarning]
    assert int(model[0].num_batches_tracked) == 1
    assert len(told) == check
    assert not check or "Output nr 1. of the traced function does not match" in told[0]
    drawn = flambeau.rand(3)
    flambeau.set_rng_state(state)
    flambeau.nn.functional.dropout(flambeau.ones(3, 2), 0.5)
    assert flambeau.equal(flambeau.rand(3), drawn)
