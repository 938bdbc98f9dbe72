"""Sobol' sequences: PyTorch's points, to the bit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import flambeau as fb


@pytest.mark.parametrize("scramble", [False, True])
@pytest.mark.parametrize("dimension", [1, 2, 3, 40, 1111])
def test_points(dimension: int, scramble: bool) -> None:
    ours, theirs = (lib.quasirandom.SobolEngine(dimension, scramble, 5) for lib in (fb, torch))
    for n in (1, 2, 5, 64):
        assert ours.draw(n).tolist() == theirs.draw(n).tolist()
    assert ours.sobolstate.tolist() == theirs.sobolstate.tolist()
    assert (
        ours.fast_forward(9).draw(2, dtype=fb.float64).tolist()
        == theirs.fast_forward(9).draw(2, dtype=torch.float64).tolist()
    )
    assert ours.reset().draw_base2(3).tolist() == theirs.reset().draw_base2(3).tolist()
    assert repr(ours) == repr(theirs) and ours.num_generated == theirs.num_generated == 8
    assert pickle.loads(pickle.dumps(ours)).draw(2).tolist() == copy.deepcopy(theirs).draw(2).tolist()


def test_the_default_generator_goes_on_as_torchs() -> None:
    drawn = []
    for lib in (fb, torch):
        lib.manual_seed(3)
        drawn.append((lib.quasirandom.SobolEngine(2, scramble=True).draw(3).tolist(), lib.rand(2).tolist()))
    assert drawn[0] == drawn[1]


def test_errors() -> None:
    for lib in (fb, torch):
        with pytest.raises(ValueError, match=r"Supported range of dimensionality for SobolEngine is \[1, 21201\]"):
            lib.quasirandom.SobolEngine(0)
        engine = lib.quasirandom.SobolEngine(2)
        engine.draw(3)
        with pytest.raises(ValueError, match=r"then: n=3\+2\*\*2=7"):
            engine.draw_base2(2)
        assert engine.draw(2, out=lib.empty(0)).shape == (2, 2)
