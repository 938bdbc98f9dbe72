"""Boxes that overlap: suppression of all but the best, and the overlap of turned boxes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.dispatch.operator import Array, operator
from ...core.tensor.tensor import Tensor
from ...ops.indexing.masking import like_on_device
from ...ops.support.checks import host_values


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: the indices of the boxes that stay, the highest score first (int64).

    `dets` are `(N, 4)` as `x1, y1, x2, y2`, `scores` `(N,)`. A box goes that overlaps one that stays by more than
    `iou_threshold`: area of both over area of either. Raises RuntimeError for other shapes, and where the dtypes differ.
    """
    if dets.ndim != 2:
        raise RuntimeError(f"boxes should be a 2d tensor, got {dets.ndim}D")
    if dets.shape[1] != 4:
        raise RuntimeError(f"boxes should have 4 elements in dimension 1, got {dets.shape[1]}")
    if scores.ndim != 1:
        raise RuntimeError(f"scores should be a 1d tensor, got {scores.ndim}D")
    if dets.shape[0] != scores.shape[0]:
        raise RuntimeError(
            f"boxes and scores should have same number of elements in dimension 0, got {dets.shape[0]} and {scores.shape[0]}"
        )
    if dets.dtype != scores.dtype:
        raise RuntimeError(f"dets should have the same type as scores, but they are {dets.dtype} and {scores.dtype}")
    if not dets.is_floating_point():
        raise RuntimeError(f"\"nms_kernel\" not implemented for '{dets.dtype.abbr}'")
    boxes, ranks = host_values(dets, "nms"), host_values(scores, "nms")
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    left = np.argsort(-ranks, kind="stable")
    kept: list[int] = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        across = np.maximum(np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]), 0)
        down = np.maximum(np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]), 0)
        both = across * down
        with np.errstate(divide="ignore", invalid="ignore"):
            overlap = both / (areas[best] + areas[left] - both)
        left = left[~(overlap > iou_threshold)]
    return like_on_device(np.asarray(kept, np.int64), dets)


def _corners(boxes: jax.Array) -> jax.Array:
    """`(N, 4, 2)` from rows `centre x, centre y, width, height, degrees`."""
    angle = boxes[:, 4] * (jnp.pi / 180)
    right = jnp.stack([jnp.cos(angle), -jnp.sin(angle)], -1) * boxes[:, 2:3] / 2
    down = jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1) * boxes[:, 3:4] / 2
    middle = boxes[:, :2]
    return jnp.stack([middle + right + down, middle + right - down, middle - right - down, middle - right + down], 1)


def _cross(a: jax.Array, b: jax.Array) -> jax.Array:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _inside(points: jax.Array, corners: jax.Array) -> jax.Array:
    """Which points lie in the rectangle of these corners, its border included."""
    first, second = corners[..., 1, :] - corners[..., 0, :], corners[..., 3, :] - corners[..., 0, :]
    away = points - corners[..., 0:1, :]
    along = [(away * side[..., None, :]).sum(-1) for side in (first, second)]
    slack = 1e-6
    ends = [(side * side).sum(-1)[..., None] for side in (first, second)]
    return jnp.stack(
        [(a >= -slack * (1 + e)) & (a <= e + slack * (1 + e)) for a, e in zip(along, ends, strict=True)]
    ).all(0)


def _crossings(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where sides of two rectangles meet: 16 points, and which of them are there."""
    start, way = a[..., :, None, :], (jnp.roll(a, -1, -2) - a)[..., :, None, :]
    other, course = b[..., None, :, :], (jnp.roll(b, -1, -2) - b)[..., None, :, :]
    turn = _cross(way, course)
    safe = jnp.where(jnp.abs(turn) > 1e-14, turn, 1)
    t = _cross(other - start, course) / safe
    u = _cross(other - start, way) / safe
    meet = (jnp.abs(turn) > 1e-14) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    points = start + t[..., None] * way
    return points.reshape(*points.shape[:-3], 16, 2), meet.reshape(*meet.shape[:-2], 16)


def _area(points: jax.Array, there: jax.Array) -> jax.Array:
    """The area of the convex polygon whose corners are those of the points that are there."""
    number = there.sum(-1)
    middle = jnp.where(there[..., None], points, 0).sum(-2, keepdims=True) / jnp.maximum(number, 1)[..., None, None]
    away = jnp.where(there[..., None], points - middle, 0)  # a point at the middle adds nothing
    order = jnp.argsort(jnp.where(there, jnp.arctan2(away[..., 1], away[..., 0]), jnp.inf), -1)
    away = jnp.take_along_axis(away, order[..., None], -2)
    place = jnp.arange(points.shape[-2])
    following = jnp.where(place + 1 < number[..., None], place + 1, 0)
    following = jnp.broadcast_to(following, order.shape)
    parts = _cross(away, jnp.take_along_axis(away, following[..., None], -2))
    return jnp.where(number > 2, jnp.abs(jnp.where(place < number[..., None], parts, 0).sum(-1)) / 2, 0)


@operator(methods=False, public=())
def _box_iou_rotated(boxes1: Array, boxes2: Array) -> Array:
    # around the middle of each pair: far from the origin differences lose digits
    middle = (boxes1[:, None, :2] + boxes2[None, :, :2]) / 2
    a = _corners(boxes1.at[:, :2].set(0))[:, None] + (boxes1[:, None, :2] - middle)[..., None, :]
    b = _corners(boxes2.at[:, :2].set(0))[None] + (boxes2[None, :, :2] - middle)[..., None, :]
    crossings, meet = _crossings(a, b)
    a, b = (jnp.broadcast_to(x, (*middle.shape[:2], 4, 2)) for x in (a, b))
    points = jnp.concatenate([crossings, a, b], -2)
    both = _area(points, jnp.concatenate([meet, _inside(a, b), _inside(b, a)], -1))
    one, other = boxes1[:, None, 2] * boxes1[:, None, 3], boxes2[None, :, 2] * boxes2[None, :, 3]
    empty = (one < 1e-14) | (other < 1e-14)
    return jnp.where(empty, 0, both / jnp.where(empty, 1, one + other - both)).astype(jnp.float32)


def box_iou_rotated(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """`(N, M)`: how much turned boxes (`centre x, centre y, width, height, degrees`) overlap, between 0 and 1."""
    return _box_iou_rotated(boxes1, boxes2)


def quantized(*args: Any) -> Tensor:
    """Refused: there are no quantized tensors."""
    raise NotImplementedError(
        "torchvision's operators on quantized tensors: there are none here; dequantize them first"
    )
