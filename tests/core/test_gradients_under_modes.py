"""Programs under a dispatch mode that changes nothing: results and gradients are those without it."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import flambeau as fb
import flambeau.nn.functional as F
from flambeau.utils._python_dispatch import TorchDispatchMode

PROGRAMS = """
x.view(2, 6).t().reshape(-1)[::5]
x.view(2, 2, 3).transpose(0, 1) @ w
(x.view(2, 2, 3) @ w).transpose(1, 2).reshape(-1)
x.repeat(2, 1).t().reshape(-1)
fb.bmm(x.view(2, 2, 3).transpose(1, 2), x.view(2, 2, 3)).transpose(1, 2).reshape(-1)
x.median()
x.median(1)[0]
x.nanmedian(0, keepdim=True).values
x[:, i]
x[None, :, i]
x[..., [1, 2]]
F.embedding(i, x, 0, scale_grad_by_freq=True)
F.unfold(x.view(1, 1, 4, 3), 3, 2, 1)
F.fold(x.view(1, 4, 3), (2, 4), 2)
fill(x * 1, (slice(None), i), 2.0)
fill(x * 1, (..., i), x[:, :3] * 3)
""".strip().splitlines()


class Unchanged(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def fill(x: Any, key: Any, value: Any) -> Any:
    x[key] = value
    return x


def gradients(line: str, *modes: Any) -> list[Any]:
    x = fb.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
    w = fb.tensor(np.random.default_rng(1).standard_normal((3, 2)), requires_grad=True)
    names = {"x": x, "w": w, "i": fb.tensor([0, 2, 2]), "fb": fb, "F": F, "fill": fill}
    with contextlib.ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        y = eval(line, names)
        (y * y * y).sum().backward()
    return [t.detach().numpy() for t in (y, x.grad, w.grad) if t is not None]


@pytest.mark.parametrize("line", PROGRAMS)
def test_a_mode_that_changes_nothing_changes_nothing(line: str) -> None:
    plain = gradients(line)
    for modes in ([Unchanged()], [Unchanged(), Unchanged()]):
        for seen, wanted in zip(gradients(line, *modes), plain, strict=True):
            np.testing.assert_allclose(seen, wanted, rtol=1e-12)
