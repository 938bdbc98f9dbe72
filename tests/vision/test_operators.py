"""The real torchvision's operators: against loops that do what the papers say, and as it registers and calls them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.vision.operators import boxes, deformable, regions

D = fb.float64


@pytest.fixture(scope="module")
def ops() -> Any:
    fb.ops.load_library("/anywhere/torchvision/_C.cpython-311.so")
    return fb.ops.torchvision


def bilinear(image: np.ndarray, y: float, x: float) -> Any:
    """Between pixels; one pixel beyond the border is the border's."""
    height, width = image.shape[-2:]
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = image[..., top, left] * (1 - dx) + image[..., top, right] * dx
    lower = image[..., bottom, left] * (1 - dx) + image[..., bottom, right] * dx
    return upper * (1 - dy) + lower * dy


def data() -> tuple[Any, Any]:
    fb.manual_seed(0)
    x = fb.randn(2, 8, 9, 11, dtype=D)
    corner, size = fb.rand(5, 2, dtype=D) * 12 - 2, fb.rand(5, 2, dtype=D) * 9 + 0.2
    return x, fb.cat([fb.randint(0, 2, (5, 1)).to(D), corner, corner + size], 1)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [2, 3, 0, -1])
def test_roi_align(ratio: int, aligned: bool) -> None:
    x, rois = data()
    made = regions.roi_align(x, rois, 0.7, 2, 3, ratio, aligned).numpy()
    for k, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (side * 0.7 - (0.5 if aligned else 0) for side in box)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        down, across = (ratio, ratio) if ratio > 0 else (math.ceil(height / 2), math.ceil(width / 3))
        for p in range(2):
            for q in range(3):
                points = [
                    bilinear(
                        x.numpy()[int(image)],
                        y1 + (p + (i + 0.5) / down) * height / 2,
                        x1 + (q + (j + 0.5) / across) * width / 3,
                    )
                    for i in range(down)
                    for j in range(across)
                ]
                np.testing.assert_allclose(
                    made[k, :, p, q], np.mean([np.broadcast_to(v, 8) for v in points], 0), atol=1e-12
                )


def test_roi_pool() -> None:
    x, rois = data()
    made, place = (t.numpy() for t in regions.roi_pool(x, rois, 1.0, 2, 2))
    for k, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (int(math.copysign(math.floor(abs(side) + 0.5), side)) for side in box)
        height, width = max(y2 - y1 + 1, 1) / 2, max(x2 - x1 + 1, 1) / 2
        for p in range(2):
            for q in range(2):
                rows = range(*np.clip([math.floor(p * height) + y1, math.ceil((p + 1) * height) + y1], 0, 9))
                columns = range(*np.clip([math.floor(q * width) + x1, math.ceil((q + 1) * width) + x1], 0, 11))
                for c in range(8):
                    best = max(
                        ((x.numpy()[int(image), c, i, j], -(i * 11 + j)) for i in rows for j in columns), default=(0, 1)
                    )
                    assert (made[k, c, p, q], place[k, c, p, q]) == (best[0], -best[1])


def test_position_sensitive_forms_take_channels_of_their_own() -> None:
    x, rois = data()
    made, channels = regions.ps_roi_align(x, rois, 1.0, 2, 2, 2)
    whole = regions.roi_align(x, rois, 1.0, 2, 2, 2, True)
    assert channels.tolist()[0] == np.arange(8).reshape(2, 2, 2).tolist()
    for c in range(2):
        for p in range(2):
            for q in range(2):
                assert fb.allclose(made[:, c, p, q], whole[:, c * 4 + p * 2 + q, p, q])
    pooled, _ = regions.ps_roi_pool(fb.ones(2, 8, 9, 11, dtype=D), rois, 1.0, 2, 2)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}


def test_nms() -> None:
    fb.manual_seed(1)
    corners = fb.rand(40, 2) * 5
    given = fb.cat([corners, corners + fb.rand(40, 2) * 5], 1)
    scores = fb.randint(0, 10, (40,)) / 10
    kept: list[int] = []
    overlap = boxes_overlap(given.numpy())
    for i in sorted(range(40), key=lambda i: -scores[i].item()):
        if all(overlap[i, j] <= 0.3 for j in kept):
            kept.append(i)
    assert boxes.nms(given, scores, 0.3).tolist() == kept
    assert boxes.nms(fb.zeros(0, 4), fb.zeros(0), 0.5).tolist() == []
    with pytest.raises(RuntimeError, match="boxes should have 4 elements in dimension 1, got 3"):
        boxes.nms(fb.zeros(3, 3), fb.zeros(3), 0.5)


def boxes_overlap(b: np.ndarray) -> np.ndarray:
    size = np.clip(np.minimum(b[:, None, 2:], b[None, :, 2:]) - np.maximum(b[:, None, :2], b[None, :, :2]), 0, None)
    both, area = size.prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return both / (area[:, None] + area - both)


def test_turned_boxes() -> None:
    fb.manual_seed(2)
    straight = fb.cat([fb.rand(6, 2) * 4, fb.rand(6, 2) * 3 + 0.1, fb.zeros(6, 1)], 1)
    half = straight[:, 2:4] / 2
    corners = fb.cat([straight[:, :2] - half, straight[:, :2] + half], 1).numpy()
    np.testing.assert_allclose(boxes.box_iou_rotated(straight, straight).numpy(), boxes_overlap(corners), atol=1e-5)
    square = fb.tensor([[0.0, 0, 2, 2, 0]])
    turned = fb.tensor([[0.0, 0, 2, 2, 45], [5, 5, 1, 1, 10], [0, 0, 2, 2, 90]])
    octagon = 8 * (math.sqrt(2) - 1)
    assert boxes.box_iou_rotated(square, turned).tolist()[0] == pytest.approx([octagon / (8 - octagon), 0, 1], abs=1e-5)


def test_deformable_convolution() -> None:
    fb.manual_seed(3)
    x, weight, bias = fb.randn(1, 4, 5, 6, dtype=D), fb.randn(2, 2, 3, 3, dtype=D), fb.randn(2, dtype=D)
    still, one = fb.zeros(1, 36, 3, 3, dtype=D), fb.ones(1, 18, 3, 3, dtype=D)
    steps = (2, 2, 1, 1, 1, 1, 2, 2)
    plain = fb.nn.functional.conv2d(x, weight, bias, stride=2, padding=1, groups=2)
    assert fb.allclose(deformable.deform_conv2d(x, weight, still, one, bias, *steps, True), plain)
    offset, mask = fb.randn(1, 36, 3, 3, dtype=D), fb.rand(1, 18, 3, 3, dtype=D)
    made = deformable.deform_conv2d(x, weight, offset, mask, bias, *steps, True).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (9, 9), (9, 9)))  # zeros beyond the border, as far as offsets reach
    for o in range(2):
        for i in range(3):
            for j in range(3):
                total = bias[o].item()
                for c in range(2):
                    for t in range(9):
                        shift = offset[0, o * 18 + 2 * t : o * 18 + 2 * t + 2, i, j].tolist()
                        y, z = i * 2 - 1 + t // 3 + shift[0], j * 2 - 1 + t % 3 + shift[1]
                        value = bilinear(padded[0, o * 2 + c], y + 9, z + 9) * mask[0, o * 9 + t, i, j].item()
                        total += value * weight[o, c, t // 3, t % 3].item()
                assert made[0, o, i, j] == pytest.approx(total, abs=1e-10)


def test_gradients() -> None:
    x, rois = data()
    x = x[:, :4, :5, :5].clone().requires_grad_()
    assert fb.autograd.gradcheck(lambda x: regions.roi_align(x, rois[:2], 0.5, 2, 2, 2, True), (x,))
    assert fb.autograd.gradcheck(lambda x: regions.roi_pool(x, rois[:2], 0.5, 2, 2)[0], (x,))


def test_as_torchvision_calls_them(ops: Any) -> None:
    x, rois = data()
    x.requires_grad_()
    assert str(ops.nms.default._schema) == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name, options, back in (
        ("roi_align", (1.0, 2, 2, 2, False), lambda g, made: (g, rois, 1.0, 2, 2, 2, 8, 9, 11, 2, False)),
        ("roi_pool", (1.0, 2, 2), lambda g, made: (g, rois, made[1], 1.0, 2, 2, 2, 8, 9, 11)),
        ("ps_roi_align", (1.0, 2, 2, 2), lambda g, made: (g, rois, made[1], 1.0, 2, 2, 2, 2, 8, 9, 11)),
        ("ps_roi_pool", (1.0, 2, 2), lambda g, made: (g, rois, made[1], 1.0, 2, 2, 2, 8, 9, 11)),
    ):
        made = getattr(regions, name)(x, rois, *options)
        result = made[0] if isinstance(made, tuple) else made
        (wanted,) = fb.autograd.grad(result.sum(), x)
        given = getattr(ops, f"_{name}_backward")(fb.ones_like(result), *back(None, made)[1:])
        assert fb.allclose(given, wanted)
    with pytest.raises(OSError, match="Could not load this library"):
        fb.ops.load_library("/anywhere/other/_C.so")


def test_pictures(ops: Any, tmp_path: Any) -> None:
    image = (fb.arange(3 * 8 * 9) % 256).reshape(3, 8, 9).to(fb.uint8)
    files = fb.ops.image
    png = files.encode_png(image, 6)
    assert fb.equal(files.decode_png(png, 0), image) and fb.equal(files.decode_image(png, 3), image)
    assert files.decode_png(png, 1).shape == (1, 8, 9) and files.decode_png(png, 4).shape == (4, 8, 9)
    jpeg = files.decode_jpeg(files.encode_jpeg(fb.full((3, 16, 16), 90, dtype=fb.uint8), 95), 0)
    assert (jpeg.int() - 90).abs().max() <= 2
    files.write_file(str(tmp_path / "a.png"), png)
    assert fb.equal(files.read_file(str(tmp_path / "a.png")), png)
    with pytest.raises(RuntimeError, match="No such file or directory"):
        files.read_file("nowhere")
    with pytest.raises(RuntimeError, match="Unsupported image file"):
        files.decode_image(fb.zeros(9, dtype=fb.uint8), 0)
