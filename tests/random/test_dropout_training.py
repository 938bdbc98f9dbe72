"""A network whose masks are PyTorch's trains step for step like PyTorch's, eager and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau.utils.checkpoint import checkpoint
from support.values import array


def losses(L: Any, compiled: bool) -> tuple[list[float], np.ndarray]:
    nn = L.nn
    L.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(), nn.Linear(216, 20), nn.SELU(), nn.AlphaDropout(0.1),
        nn.Linear(20, 20), nn.GELU(), nn.Dropout(0.4), nn.Linear(20, 5),
    ).double()  # fmt: skip
    optimizer = L.optim.AdamW(model.parameters(), 1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x + 0.1 * L.randn_like(x)), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = L.compile(step, fullgraph=True) if compiled else step
    made = []
    for _ in range(12):
        x, y = L.rand(16, 1, 8, 8, dtype=L.float64), L.randint(5, (16,))
        made.append(float(step(x, y)))
    return made, array(L.get_rng_state())


@pytest.mark.parametrize("compiled", [False, True])
def test_trains_like_torch(compiled: bool) -> None:
    (ours, our_state), (theirs, their_state) = losses(fb, compiled), losses(torch, False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    np.testing.assert_array_equal(our_state[:5024], their_state[:5024])


def test_checkpointed_parts_draw_the_same_masks_again() -> None:
    x = fb.randn(6, 8, requires_grad=True)
    layer = fb.nn.Sequential(fb.nn.Linear(8, 8), fb.nn.Dropout(0.5), fb.nn.Linear(8, 8))
    gradients = []
    for run in (layer, lambda v: checkpoint(layer, v, use_reentrant=False)):
        fb.manual_seed(7)
        x.grad = None
        run(x).pow(2).sum().backward()
        gradients.append((array(x.grad), array(fb.rand(1))))
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], rtol=1e-6)
    np.testing.assert_array_equal(gradients[0][1], gradients[1][1])
