"""Image transforms on PIL images, arrays and tensors."""

import numpy as np
import pytest
import torch
from PIL import Image

import flambeau as fb
from flambeau.vision import transforms as T
from support.values import array

RGB = np.random.RandomState(0).randint(0, 256, (7, 5, 3), np.uint8)


def image(mode="RGB"):
    return Image.fromarray(RGB).convert(mode)


def test_to_tensor():
    out = T.ToTensor()(image())
    assert out.dtype is fb.float32 and tuple(out.shape) == (3, 7, 5)
    assert np.array_equal(array(out), RGB.transpose(2, 0, 1).astype("f4") / np.float32(255))
    assert np.array_equal(array(T.ToTensor()(RGB)), array(out))
    assert tuple(T.ToTensor()(image("L")).shape) == (1, 7, 5)
    assert set(T.ToTensor()(image("1")).unique().tolist()) <= {0.0, 1.0}
    floats = T.ToTensor()(np.ones((2, 3)))
    assert floats.dtype is fb.float64 and tuple(floats.shape) == (1, 2, 3)
    assert T.PILToTensor()(image()).dtype is fb.uint8
    for wrong in ("x", fb.zeros(2)):
        with pytest.raises(TypeError):
            T.ToTensor()(wrong)
    with pytest.raises(ValueError, match="2/3 dimensional"):
        T.ToTensor()(np.zeros(3))


def test_normalize():
    x = fb.rand(2, 3, 4, 4)
    before = array(x).copy()
    out = T.Normalize([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])(x)
    mean, std = np.float32([[[0.1]], [[0.2]], [[0.3]]]), np.float32([[[0.5]], [[0.6]], [[0.7]]])
    assert np.allclose(array(out), (before - mean) / std, atol=1e-6)
    assert np.array_equal(array(x), before)
    T.Normalize(0.0, 2.0, inplace=True)(x)
    assert np.allclose(array(x), before / 2)
    with pytest.raises(ValueError, match="std evaluated to zero"):
        T.Normalize([0], [0])(x)
    with pytest.raises(TypeError, match="float tensor"):
        T.Normalize([0], [1])(fb.zeros(1, 2, 2, dtype=fb.uint8))
    assert repr(T.Normalize((0.5,), (0.5,))) == "Normalize(mean=(0.5,), std=(0.5,))"


@pytest.mark.parametrize(("size", "expected"), [((4, 6), (4, 6)), (10, (14, 10)), ([10], (14, 10)), (2, (2, 2))])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize(size, expected, mode):
    way = T.InterpolationMode(mode)
    assert T.Resize(size, way)(image()).size == expected[::-1]
    x = torch.rand(2, 3, 7, 5)
    out = T.Resize(size, way)(fb.from_numpy(x.numpy()))
    theirs = torch.nn.functional.interpolate(x, expected, mode=mode, align_corners=False, antialias=True)
    assert np.allclose(array(out), theirs.numpy(), atol=2e-6)


def test_resize_to_at_most():
    assert T.Resize(10, max_size=12)(image()).size == (8, 12)
    for arguments in ({"size": 10, "max_size": 10}, {"size": (3, 3), "max_size": 5}):
        with pytest.raises(ValueError, match="max_size"):
            T.Resize(**arguments)(image())
    with pytest.raises(ValueError, match="1 or 2 values"):
        T.Resize((1, 2, 3))


@pytest.mark.parametrize("size", [3, (3, 2), (4, 5), (9, 9), (2, 8)])
def test_center_crop_is_the_same_for_both_kinds(size):
    out = T.CenterCrop(size)(image())
    rows, columns = (size, size) if isinstance(size, int) else size
    assert out.size == (columns, rows)
    assert np.array_equal(array(T.CenterCrop(size)(T.PILToTensor()(image()))), np.asarray(out).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("padding", [2, (1, 2), (1, 2, 3, 0)])
def test_pad_is_the_same_for_both_kinds(mode, padding):
    pad = T.Pad(padding, padding_mode=mode)
    floats = T.PILToTensor()(image()).float()
    assert np.array_equal(array(pad(floats)), np.asarray(pad(image())).transpose(2, 0, 1))


def test_random_crop():
    fb.manual_seed(0)
    torch.manual_seed(0)
    for _ in range(3):
        top, left = torch.randint(0, 5, (1,)).item(), torch.randint(0, 3, (1,)).item()
        out = T.RandomCrop(3)(image())
        assert np.array_equal(np.asarray(out), RGB[top : top + 3, left : left + 3])
    assert T.RandomCrop((7, 5))(image()).size == (5, 7)
    assert T.RandomCrop(9, pad_if_needed=True)(image()).size == (9, 9)
    assert T.RandomCrop(9, padding=2)(image()).size == (9, 9)
    with pytest.raises(ValueError, match=r"Required crop size \(9, 9\) is larger than input image size \(7, 5\)"):
        T.RandomCrop(9)(image())


def test_random_flips():
    fb.manual_seed(0)
    torch.manual_seed(0)
    flip = T.RandomHorizontalFlip()
    for _ in range(5):
        expected = RGB[:, ::-1] if torch.rand(1).item() < 0.5 else RGB
        assert np.array_equal(np.asarray(flip(image())), expected)
    x = T.PILToTensor()(image())
    assert np.array_equal(array(T.RandomVerticalFlip(1)(x)), RGB.transpose(2, 0, 1)[:, ::-1])
    assert np.array_equal(np.asarray(T.RandomVerticalFlip(1)(image())), RGB[::-1])
    assert np.array_equal(array(T.RandomHorizontalFlip(1)(x)), RGB.transpose(2, 0, 1)[:, :, ::-1])


def test_compose_and_print():
    chain = T.Compose([T.Resize(4), T.CenterCrop(2), T.ToTensor(), T.Lambda(lambda x: x + 1)])
    assert tuple(chain(image()).shape) == (3, 2, 2)
    assert str(chain) == (
        "Compose(\n    Resize(size=4, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    CenterCrop(size=(2, 2))\n    ToTensor()\n    Lambda()\n)"
    )
    with pytest.raises(TypeError, match="callable"):
        T.Lambda(3)
