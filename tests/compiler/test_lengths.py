"""Sequences and images of several sizes in one compiled step: the numbers are those of torch on what is not padded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import flambeau as fb

Made = tuple[Any, Callable[..., Any], Callable[[Any, int, int], list[Any]]]

SIZES = [(4, 9), (4, 7), (3, 12)]
_WORDS = 11


def _step(model: Any, loss_of: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
    def step(*given: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(*given)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _train(library: Any, make: Callable[[Any], Made], sizes: list[tuple[int, int]]) -> tuple[list[Any], Any]:
    """The losses and the parameters after a step at each of the sizes; and the step."""
    model, loss_of, data = make(library)
    model.double()
    rng = np.random.default_rng(5)
    with library.no_grad():
        for p in model.parameters():
            p.copy_(library.tensor(rng.normal(size=tuple(p.shape)) * 0.4))
    step = _step(model, loss_of, library.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    if library is fb:
        step = fb.compile(step, dynamic=True)
    losses = [step(*map(library.tensor, data(rng, *size))).item() for size in sizes]
    return [losses, *(value.numpy() for value in model.state_dict().values())], step


def _compare(make: Callable[[Any], Made], sizes: list[tuple[int, int]], programs: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, step = _train(fb, make, sizes)
    expected, _ = _train(torch, make, sizes)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert len(fb.compile.explain(step)) == programs, str(fb.compile.explain(step))


# ---------------------------------------------------------------- texts


def _attention(T: Any, masked: str, tril: Any, x: Any, projected: Any) -> Any:
    count, length, width = x.shape
    q, k, v = (t.view(count, length, 2, width // 2).transpose(1, 2) for t in projected.split(width, 2))
    if masked == "causal":
        y = T.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        a = q @ k.transpose(-2, -1) * (width // 2) ** -0.5
        mask = tril[:length, :length] if masked == "buffer" else T.tril(T.ones(length, length))
        y = a.masked_fill(mask == 0, float("-inf")).softmax(-1) @ v
    return y.transpose(1, 2).contiguous().view(count, length, width)


def _gpt(T: Any, masked: str) -> Made:
    nn, width = T.nn, 8
    model = nn.ModuleDict(
        {
            "words": nn.Embedding(_WORDS, width), "places": nn.Embedding(32, width), "norm": nn.LayerNorm(width),
            "project": nn.Linear(width, 3 * width), "last": nn.Linear(width, _WORDS),
        }
    )  # fmt: skip
    tril = T.tril(T.ones(32, 32))

    def loss_of(x: Any, y: Any) -> Any:
        if masked == "buffer":
            place = model["places"].weight[: x.shape[1]]
        else:
            place = model["places"](T.arange(0, x.size(1), dtype=T.long))
        h = model["words"](x) + place
        h = h + _attention(T, masked, tril, h, model["project"](model["norm"](h)))
        scores = model["last"](h)
        return nn.functional.cross_entropy(scores.view(-1, scores.size(-1)), y.view(-1), ignore_index=-1)

    def data(rng: Any, count: int, length: int) -> list[Any]:
        x, y = rng.integers(0, _WORDS, (2, count, length))
        y[0, -2:] = -1
        return [x, y]

    return model, loss_of, data


def _bert(T: Any) -> Made:
    nn = T.nn
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation="gelu", batch_first=True)
    model = nn.ModuleList([nn.Embedding(_WORDS, 8), nn.Embedding(32, 8), layer, nn.Linear(8, 3)])

    def loss_of(x: Any, mask: Any, y: Any) -> Any:
        words, places, layer, last = model
        h = layer(words(x) + places(T.arange(x.shape[1])), src_key_padding_mask=mask == 0)
        counted = mask.unsqueeze(-1).to(h.dtype)
        return nn.functional.cross_entropy(last((h * counted).sum(1) / counted.sum(1)), y)

    def data(rng: Any, count: int, length: int) -> list[Any]:
        lengths = rng.integers(1, length + 1, count)
        lengths[0] = length
        mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
        return [rng.integers(0, _WORDS, (count, length)), mask, rng.integers(0, 3, count)]

    return model, loss_of, data


def _recurrent(T: Any, kind: str) -> Made:
    nn = T.nn
    cells = getattr(nn, kind)(6, 5, batch_first=True, bidirectional=kind == "GRU")
    model = nn.ModuleList([nn.Embedding(_WORDS, 6), cells, nn.Linear(10 if kind == "GRU" else 5, _WORDS)])

    def loss_of(x: Any, y: Any) -> Any:
        words, cells, last = model
        h = cells(words(x))[0]
        each = nn.functional.cross_entropy(last(h).transpose(1, 2), y, ignore_index=-100)
        return each + last(h[:, -1]).square().mean() + last(h.mean(1)).square().sum() / x.size(1)

    def data(rng: Any, count: int, length: int) -> list[Any]:
        x, y = rng.integers(0, _WORDS, (2, count, length))
        y[0, length // 2 :] = -100
        return [x, y]

    return model, loss_of, data


@pytest.mark.slow
@pytest.mark.parametrize("masked", ["tril", "buffer", "causal"])
def test_a_small_gpt(masked: str) -> None:
    """One program for the first length, with its batches; one for two lengths; one for all up to 16."""
    _compare(lambda T: _gpt(T, masked), SIZES, 3)


@pytest.mark.slow
def test_an_encoder_with_padding() -> None:
    _compare(_bert, SIZES, 3)


@pytest.mark.parametrize("kind", ["LSTM", pytest.param("GRU", marks=pytest.mark.slow)])
def test_recurrent_layers(kind: str) -> None:
    _compare(lambda T: _recurrent(T, kind), SIZES, 3)


# ---------------------------------------------------------------- images


def _images(T: Any, *layers: Callable[[Any], Any]) -> Made:
    nn = T.nn
    model = nn.Sequential(*(layer(nn) for layer in layers))

    def data(rng: Any, count: int, size: int) -> list[Any]:
        return [rng.normal(size=(count, 2, size + 2, size + 5)), rng.integers(0, 3, count)]

    return model, lambda x, y: nn.functional.cross_entropy(model(x), y), data


def test_images_of_several_sizes() -> None:
    """Odd and even ones, of which a pool leaves a row out: padding has to be zeros, and the mean that of what is there.

    The two last ones share a program: that of the second one was traced at sizes of which a pool makes one number.
    """
    layers = (
        lambda nn: nn.Conv2d(2, 4, 3, padding=1), lambda nn: nn.BatchNorm2d(4), lambda nn: nn.ReLU(), lambda nn: nn.MaxPool2d(2),
        lambda nn: nn.Conv2d(4, 3, 3, padding=2, dilation=2, bias=False), lambda nn: nn.AdaptiveAvgPool2d(1), lambda nn: nn.Flatten(),
    )  # fmt: skip
    _compare(lambda T: _images(T, *layers), [(4, 9), (4, 8), (2, 5), (3, 4)], 3)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
def test_strided_convolutions(groups: int) -> None:
    layers = (
        lambda nn: nn.Conv2d(2, 4, 3, groups=groups), lambda nn: nn.SiLU(), lambda nn: nn.Conv2d(4, 3, 3, stride=2, padding=1),
        lambda nn: nn.AdaptiveAvgPool2d(1), lambda nn: nn.Flatten(),
    )  # fmt: skip
    _compare(lambda T: _images(T, *layers), [(4, 9), (4, 8), (2, 5), (3, 4), (2, 6)], 3)
