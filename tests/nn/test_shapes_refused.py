"""Shapes at the edge of what layers take: too few dimensions, empty channels, empty batches. Results and texts are torch's."""

from __future__ import annotations

import pytest

from support.programs import agree


def F(t):
    return t.nn.functional


CALLS = {
    "avg_pool1d": lambda t, *s: F(t).avg_pool1d(t.ones(s), 2),
    "avg_pool3d": lambda t, *s: F(t).avg_pool3d(t.ones(s), 2),
    "max_pool3d": lambda t, *s: F(t).max_pool3d(t.ones(s), 2),
    "adaptive_avg_pool1d": lambda t, *s: F(t).adaptive_avg_pool1d(t.ones(s), 2),
    "adaptive_avg_pool2d": lambda t, *s: F(t).adaptive_avg_pool2d(t.ones(s), 2),
    "adaptive_max_pool2d": lambda t, *s: F(t).adaptive_max_pool2d(t.ones(s), 2),
    "lp_pool1d": lambda t, *s: F(t).lp_pool1d(t.ones(s), 2, 2),
    "max_unpool1d": lambda t, *s: F(t).max_unpool1d(t.ones(s), t.zeros(s, dtype=t.int64), 2),
    "max_unpool2d": lambda t, *s: F(t).max_unpool2d(t.ones(s), t.zeros(s, dtype=t.int64), 2),
    "fractional_max_pool2d": lambda t, *s: F(t).fractional_max_pool2d(t.ones(s), 2, 2).shape,
    "area": lambda t, *s: F(t).interpolate(t.ones(s), scale_factor=2, mode="area"),
    "nearest": lambda t, *s: F(t).interpolate(t.ones(s), scale_factor=2),
    "reflect": lambda t, *s: F(t).pad(t.ones(s), (1, 1), mode="reflect"),
    "unfold": lambda t, *s: F(t).unfold(t.ones(s), 2) if len(s) > 2 else None,
    "conv_transpose2d": lambda t, *s: F(t).conv_transpose2d(t.ones(s), t.ones(2, 3, 3, 3)) if len(s) > 2 else None,
    "linear": lambda t, *s: F(t).linear(t.ones(s), t.ones(1)) if s[-1] != 1 else None,
    "pairwise_distance": lambda t, *s: F(t).pairwise_distance(t.ones(s), t.ones(s)),
}
OWN_WORDS = ("fractional_max_pool2d", "area")  # torch names the sides of what it computes them with
SHAPES = [(8, 8), (0, 8), (2, 0, 8), (0, 2, 8), (2, 0, 8, 8), (2, 2, 0, 8), (0, 2, 8, 8), (2, 2, 2, 8, 8, 8)]


@pytest.mark.parametrize("name", CALLS)
def test_edges(name: str) -> None:
    for shape in SHAPES:
        agree(lambda t: CALLS[name](t, *shape), words=0 if name in OWN_WORDS else None)  # noqa: B023


def test_scalars() -> None:
    agree(lambda t: F(t).pairwise_distance(t.tensor(1.0), t.tensor(3.0)))
    agree(lambda t: F(t).normalize(t.tensor(1.0)), words=None)
    agree(lambda t: F(t).normalize(t.arange(6).reshape(2, 3)), words=None)
    agree(lambda t: F(t).multilabel_margin_loss(t.tensor(1.0), t.tensor(1)))


def test_kernels_of_another_number_of_dimensions_are_printed() -> None:
    agree(lambda t: [t.nn.Conv2d(3, 4, (3, 3, 3)), t.nn.Conv2d(3, 4, (3,), dilation=2), t.nn.Conv1d(3, 4, (3, 3))])
    agree(lambda t: t.nn.Conv1d(3, 4, (3, 3))(t.ones(1, 3, 8)), words=None)
