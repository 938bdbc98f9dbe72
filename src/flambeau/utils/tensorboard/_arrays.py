"""Values of any kind as NumPy arrays, and images in the order that picture files have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.dispatch.messages import message
from ...core.tensor.tensor import Tensor


def as_numpy(value: Any) -> np.ndarray:
    """Tensors, arrays and numbers as an array. NotImplementedError for anything else."""
    if isinstance(value, Tensor):
        held = value.detach().cpu()
        return (held.float() if held.dtype.name in ("bfloat16", "float16") else held).numpy()
    if isinstance(value, np.ndarray):
        return value
    if np.isscalar(value):
        return np.array([value])
    raise NotImplementedError(f"Got {type(value)}, but numpy array or torch tensor are expected.")


def grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """`(N, C, H, W)` side by side, `columns` in a row: `(3, rows * H, columns * W)`."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise AssertionError(f"{message('grid_no_images')}: (N, C, H, W), but got {images.shape}")
    if images.shape[1] == 1:
        images = np.repeat(images, 3, 1)
    number, channels, height, width = images.shape
    columns = min(number, columns)
    rows = math.ceil(float(number) / columns)
    made = np.zeros((channels, rows * height, columns * width), images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        made[:, top : top + height, left : left + width] = image
    return made


def in_rows(array: np.ndarray, order: str) -> np.ndarray:
    """An image or several, whose dimensions the letters of `order` name, as `(H, W, 3)`. AssertionError for wrong letters."""
    if len(set(order)) != len(order):
        raise AssertionError(message("image_letter_twice", order=order))
    if len(array.shape) != len(order):
        raise AssertionError(message("image_other_size", shape=array.shape, order=order))
    letters = order.upper()
    if len(letters) == 4:
        array = np.moveaxis(grid(np.transpose(array, [letters.find(c) for c in "NCHW"])), 0, -1)
    elif len(letters) == 3:
        array = np.transpose(array, [letters.find(c) for c in "HWC"])
        array = np.concatenate([array] * 3, 2) if array.shape[2] == 1 else array
    else:
        array = np.transpose(array, [letters.find(c) for c in "HW"])
        array = np.stack([array] * 3, 2)
    return array


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Numbers between 0 and 1 as 0 to 255; bytes stay."""
    scale = 1 if image.dtype == np.uint8 else 255
    return np.clip(image.astype(np.float32) * scale, 0, 255).astype(np.uint8)
