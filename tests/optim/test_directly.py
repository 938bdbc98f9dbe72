"""Large parameters are updated by a call of the kernel, as by the program, and no program is compiled for their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.native import available
from flambeau.optim import _directly, rule

SHAPES = ((1100, 600), (500, 1000), (3,), ())


def _steps(name: str, options: dict[str, Any]) -> tuple[list[np.ndarray], int]:
    fb.manual_seed(0)
    parameters = [fb.nn.Parameter(fb.randn(shape)) for shape in SHAPES]
    optimizer = getattr(fb.optim, name)(parameters, **options)
    rule._program.cache_clear()
    for step in range(3):
        for parameter in parameters:
            parameter.grad = fb.randn(parameter.shape)
        optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)
        optimizer.step()
    state = [t for own in optimizer.state.values() for _, t in sorted(own.items()) if isinstance(t, fb.Tensor)]
    programs = optimizer._prepare(0, optimizer.param_groups[0])[1]._cache_size()
    return [t.detach().numpy() for t in (*parameters, *state)], programs


@pytest.mark.skipif(not available(), reason="needs the native kernels")
@pytest.mark.parametrize(
    "name, options",
    [
        ("AdamW", {}),
        ("Adam", {"amsgrad": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("RMSprop", {"centered": True}),
    ],
)
def test_as_the_program(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found, programs = _steps(name, options)
    assert programs == 0
    for limit in ("_LARGE", "OVER"):
        monkeypatch.setattr(_directly, limit, 1 << 40)
    wanted, programs = _steps(name, options)
    assert programs == 1
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_equal_beginnings_are_not_written_into() -> None:
    """Parameters of one shape begin with the same array; each goes its own way."""
    parameters = [fb.nn.Parameter(fb.ones(4)) for _ in range(2)]
    optimizer = fb.optim.SGD(parameters, lr=1.0, momentum=0.5)
    parameters[0].grad, parameters[1].grad = fb.ones(4), 2 * fb.ones(4)
    optimizer.step()
    optimizer.state[parameters[0]]["momentum_buffer"].mul_(0)
    optimizer.step()
    assert [p.tolist() for p in parameters] == [[-1.0] * 4, [-4.0] * 4]
