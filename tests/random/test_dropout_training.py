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


def sequence_model(L: Any, kind: str) -> Any:
    nn = L.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer, self.drop = nn.Linear(6, 8), nn.Linear(8, 4), nn.Dropout(0.3)
            if kind == "Transformer":
                self.core = nn.Transformer(8, 2, 1, 1, 16, 0.2, batch_first=True)
            elif kind == "TransformerEncoder":
                layer = nn.TransformerEncoderLayer(8, 2, 16, 0.2)
                self.core = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            elif kind == "MultiheadAttention":
                self.core = nn.MultiheadAttention(8, 2, 0.2, batch_first=True)
            else:
                self.core = getattr(nn, kind)(8, 4, 3, dropout=0.3, bidirectional=True, batch_first=True)

        def forward(self, x: Any) -> Any:
            x = self.inner(x)
            if kind == "MultiheadAttention":
                x = x + self.core(x, x, x)[0]
            elif kind == "Transformer":
                x = self.core(x, x)
            elif kind == "TransformerEncoder":
                x = self.core(x.transpose(0, 1)).transpose(0, 1)
            else:
                x = self.core(x)[0]
            return self.outer(self.drop(x)).mean(1)

    return Model()


def sequence_losses(L: Any, kind: str, compiled: bool, steps: int) -> tuple[list[float], np.ndarray]:
    L.manual_seed(0)
    model = sequence_model(L, kind).double()
    optimizer = L.optim.SGD(model.parameters(), 0.05)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = L.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = L.compile(step, fullgraph=True) if compiled else step
    made = [float(step(L.randn(5, 7, 6, dtype=L.float64), L.randint(4, (5,)))) for _ in range(steps)]
    return made, array(L.get_rng_state())


KINDS = ("LSTM", "GRU", "RNN", "MultiheadAttention", "TransformerEncoder", "Transformer")


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sequence_models_train_like_torch(kind: str, compiled: bool) -> None:
    (ours, our_state), (theirs, their_state) = (
        sequence_losses(fb, kind, compiled, 100), sequence_losses(torch, kind, False, 100),
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    np.testing.assert_array_equal(our_state[:5024], their_state[:5024])


@pytest.mark.parametrize("kind", ["LSTM", "MultiheadAttention"])
def test_sequence_models_draw_like_torch(kind: str) -> None:
    (ours, our_state), (theirs, their_state) = (sequence_losses(L, kind, False, 2) for L in (fb, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
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
