"""Image transforms as functions. Each takes a PIL image or a tensor (..., C, H, W) and returns the same kind."""

from __future__ import annotations

import enum
from typing import Any

import jax
import numpy as np

import flambeau
from flambeau.core.tensor.tensor import Tensor, wrap


class InterpolationMode(enum.Enum):
    """How `resize` fills in."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def _is_tensor(img: Any) -> bool:
    if isinstance(img, Tensor):
        return True
    if hasattr(img, "getbands"):
        return False
    raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    if _is_tensor(img):
        return [1 if img.ndim == 2 else img.shape[-3], img.shape[-2], img.shape[-1]]
    return [len(img.getbands()), img.height, img.width]


def _channels_first(array: np.ndarray) -> np.ndarray:
    array = array[..., None] if array.ndim == 2 else array
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def pil_to_tensor(pic: Any) -> Tensor:
    """The pixels of a PIL image as a tensor (C, H, W), in the image's own type."""
    if not hasattr(pic, "getbands"):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    return flambeau.as_tensor(_channels_first(np.array(pic)))


def to_tensor(pic: Any) -> Tensor:
    """A PIL image, or an array (H, W) or (H, W, C), as a tensor (C, H, W); bytes become floats from 0 to 1."""
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic
    elif hasattr(pic, "getbands"):
        array = np.array(pic)
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    array = _channels_first(array)
    dtype = flambeau.get_default_dtype().numpy
    if array.dtype == np.uint8:
        array = array.astype(dtype) / dtype.type(255)  # on the host, where a quotient is rounded as PyTorch's is
    elif array.dtype == np.bool_:
        array = array.astype(dtype)
    return flambeau.as_tensor(array)


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, channel by channel."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.shape}"
        )
    mean = flambeau.as_tensor(mean, dtype=tensor.dtype)
    std = flambeau.as_tensor(std, dtype=tensor.dtype)
    if bool((std == 0).any()):
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    if mean.ndim == 1:
        mean = mean.view(-1, 1, 1)
    if std.ndim == 1:
        std = std.view(-1, 1, 1)
    return (tensor if inplace else tensor.clone()).sub_(mean).div_(std)


def _target_size(img: Any, size: Any, max_size: int | None) -> tuple[int, int]:
    """(height, width) to resize to: one number is the shorter edge, the other follows."""
    if not isinstance(size, int) and len(size) == 2:
        if max_size is not None:
            raise ValueError("max_size should only be passed if size specifies the length of the smaller edge")
        return int(size[0]), int(size[1])
    short = size if isinstance(size, int) else size[0]
    _, height, width = get_dimensions(img)
    least, most = min(height, width), max(height, width)
    long = int(short * most / least)
    if max_size is not None:
        if max_size <= short:
            raise ValueError(
                f"max_size = {max_size} must be greater than the requested size for the smaller edge ({size})"
            )
        if long > max_size:
            short, long = int(max_size * short / long), max_size
    return (long, short) if height > width else (short, long)


def resize(
    img: Any,
    size: Any,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Resize to (height, width), or so that the shorter edge is `size`.

    PIL images always, tensors if `antialias`, are averaged over the pixels that they lose.
    """
    height, width = _target_size(img, size, max_size)
    mode = InterpolationMode(interpolation)
    if not _is_tensor(img):
        from PIL import Image

        filters = {"nearest-exact": "NEAREST"}
        return img.resize((width, height), Image.Resampling[filters.get(mode.value, mode.value.upper())])
    # Catmull-Rom, which JAX calls cubic, is PIL's and PyTorch's antialiased bicubic (a = -0.5).
    methods = {"nearest-exact": "nearest", "bilinear": "linear", "bicubic": "cubic"}
    if mode.value not in methods:
        raise ValueError(f"resize of a tensor does not do {mode}; use one of {', '.join(methods)}, or a PIL image")
    if mode.value == "bicubic" and not antialias:
        raise ValueError("resize of a tensor with bicubic needs antialias=True")
    array = img._array
    wide = array if img.dtype.is_floating_point else array.astype(np.float32)
    out = jax.image.resize(wide, (*array.shape[:-2], height, width), methods[mode.value], antialias=bool(antialias))
    if not img.dtype.is_floating_point:
        out = jax.numpy.clip(jax.numpy.round(out), 0, 255)
    return wrap(out.astype(array.dtype))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window whose upper left corner is (top, left). What lies outside of the image is 0."""
    if not _is_tensor(img):
        return img.crop((left, top, left + width, top + height))
    _, image_height, image_width = get_dimensions(img)
    inside = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    missing = [max(-left, 0), max(left + width - image_width, 0), max(-top, 0), max(top + height - image_height, 0)]
    return flambeau.nn.functional.pad(inside, missing) if any(missing) else inside


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    size = tuple(size)
    if len(size) not in (1, 2):
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    return size if len(size) == 2 else (size[0], size[0])


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle of the image; what is missing is 0."""
    height, width = _pair(output_size)
    _, image_height, image_width = get_dimensions(img)
    if height > image_height or width > image_width:
        rows, columns = max(height - image_height, 0), max(width - image_width, 0)
        img = pad(img, [columns // 2, rows // 2, (columns + 1) // 2, (rows + 1) // 2])
        _, image_height, image_width = get_dimensions(img)
    return crop(img, round((image_height - height) / 2), round((image_width - width) / 2), height, width)


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """Widen the image: `padding` is one number, (left and right, top and bottom) or (left, top, right, bottom)."""
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element tuple")
    left, top, right, bottom = (sides * 4)[:4] if len(sides) < 4 else sides
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if _is_tensor(img):
        if padding_mode == "symmetric":
            raise ValueError("pad of a tensor does constant, edge and reflect; for symmetric pad the PIL image")
        if padding_mode == "constant":
            return flambeau.nn.functional.pad(img, [left, right, top, bottom], value=fill)
        mode = "replicate" if padding_mode == "edge" else "reflect"
        batch = img.reshape(-1, *img.shape[-2:])
        out = flambeau.nn.functional.pad(batch, [left, right, top, bottom], mode=mode)
        return out.reshape(*img.shape[:-2], *out.shape[-2:])
    from PIL import Image, ImageOps

    if padding_mode == "constant":
        return ImageOps.expand(img, border=(left, top, right, bottom), fill=fill)
    array = np.asarray(img)
    widths = ((top, bottom), (left, right)) + ((0, 0),) * (array.ndim - 2)
    return Image.fromarray(np.pad(array, widths, mode=padding_mode))  # type: ignore[call-overload]


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    if _is_tensor(img):
        return img.flip(-1)
    from PIL import Image

    return img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    if _is_tensor(img):
        return img.flip(-2)
    from PIL import Image

    return img.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
