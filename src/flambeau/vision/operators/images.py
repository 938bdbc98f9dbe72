"""Image files as tensors of bytes `(channels, height, width)`, read and written by Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.tensor.tensor import Tensor, from_host
from ...ops.support.checks import host_values

if TYPE_CHECKING:
    from PIL import Image

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # 0: as it is in the file


def read_file(filename: str) -> Tensor:
    """The bytes of a file, uint8 and 1-dimensional."""
    try:
        return from_host(np.frombuffer(Path(filename).read_bytes(), np.uint8).copy())
    except OSError as error:
        raise RuntimeError(f"[Errno {error.errno}] {error.strerror}: {filename!r}") from None


def write_file(filename: str, data: Tensor) -> Tensor:
    """Write a 1-dimensional uint8 tensor as it stands."""
    if data.dtype.name != "uint8":
        raise RuntimeError("Input tensor dtype should be uint8")
    if data.ndim != 1:
        raise RuntimeError("Input data should be a 1-dimensional tensor")
    Path(filename).write_bytes(host_values(data, "write_file").tobytes())
    return data


def _opened(data: Tensor, *kinds: str) -> Image.Image:
    if data.dtype.name != "uint8":
        raise RuntimeError(f"Input tensor must have uint8 data type, got {data.dtype.abbr}")
    if data.ndim != 1 or not data.numel():
        raise RuntimeError(
            f"Input tensor must be 1-dimensional and non-empty, got {data.ndim} dims  and {data.numel()} numels."
        )
    from PIL import Image, UnidentifiedImageError

    held = host_values(data, "decode_image").tobytes()
    try:
        return Image.open(io.BytesIO(held), formats=kinds)
    except UnidentifiedImageError:
        wanted = " or ".join(kinds) if len(kinds) < 4 else "jpeg, png, webp and gif"
        raise RuntimeError(
            f"Unsupported image file. Only {wanted} are currently supported here; this one starts with "
            f"{' '.join(f'{byte:#04x}' for byte in held[:2])}"
        ) from None


def _pixels(image: Image.Image, mode: int) -> np.ndarray:
    """`(channels, height, width)`, in one of the modes or the file's own."""
    wanted = _MODES.get(mode)
    if wanted is None:
        if image.mode == "P":
            wanted = "RGBA" if "transparency" in image.info else "RGB"
        elif image.mode in ("1", "CMYK", "YCbCr"):
            wanted = "L" if image.mode == "1" else "RGB"
    pixels = np.array(image if wanted in (None, image.mode) else image.convert(wanted))
    if pixels.dtype == np.int32:  # Pillow's way with 16 bits
        pixels = pixels.astype(np.uint16)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))


def _decoded(image: Image.Image, mode: int, upright: bool) -> Tensor:
    if image.format == "JPEG" and mode == 1:
        image.draft("L", image.size)  # the file's own luminance
    if upright:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
    return from_host(_pixels(image, mode))


def decode_png(data: Tensor, mode: int, apply_exif_orientation: bool = False) -> Tensor:
    """A PNG file's pixels; `mode` 0 as they are, 1 grey, 2 with alpha, 3 RGB, 4 with alpha. 16 bits stay 16."""
    return _decoded(_opened(data, "PNG"), mode, apply_exif_orientation)


def decode_jpeg(data: Tensor, mode: int, apply_exif_orientation: bool = False) -> Tensor:
    """A JPEG file's pixels."""
    return _decoded(_opened(data, "JPEG"), mode, apply_exif_orientation)


def decode_webp(encoded_data: Tensor, mode: int) -> Tensor:
    """A WebP file's pixels."""
    return _decoded(_opened(encoded_data, "WEBP"), mode, False)


def decode_gif(data: Tensor) -> Tensor:
    """A GIF file's pixels: `(3, height, width)`, or `(frames, 3, height, width)` of a moving one."""
    from PIL import ImageSequence

    frames = [_pixels(frame.convert("RGB"), 3) for frame in ImageSequence.Iterator(_opened(data, "GIF"))]
    return from_host(frames[0] if len(frames) == 1 else np.stack(frames))


def decode_image(data: Tensor, mode: int, apply_exif_orientation: bool = False) -> Tensor:
    """The pixels of a JPEG, PNG, GIF or WebP file, whichever it is."""
    image = _opened(data, "JPEG", "PNG", "GIF", "WEBP")
    return decode_gif(data) if image.format == "GIF" else _decoded(image, mode, apply_exif_orientation)


def _encoded(data: Tensor, kind: str, **options: Any) -> Tensor:
    if data.dtype.name != "uint8":
        raise RuntimeError("Input tensor dtype should be uint8")
    if data.ndim != 3:
        raise RuntimeError("Input data should be a 3-dimensional tensor")
    if data.shape[0] not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {data.shape[0]}")
    from PIL import Image

    pixels = host_values(data, f"encode_{kind.lower()}")
    file = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(
        file, kind, **options
    )
    return from_host(np.frombuffer(file.getvalue(), np.uint8).copy())


def encode_png(data: Tensor, compression_level: int) -> Tensor:
    """The bytes of a PNG file of `(1 or 3, height, width)` bytes; the level is from 0 to 9."""
    if not 0 <= compression_level <= 9:
        raise RuntimeError("Compression level should be between 0 and 9")
    return _encoded(data, "PNG", compress_level=compression_level)


def encode_jpeg(data: Tensor, quality: int) -> Tensor:
    """The bytes of a JPEG file of `(1 or 3, height, width)` bytes; the quality is from 1 to 100."""
    if not 1 <= quality <= 100:
        raise RuntimeError("Image quality should be a positive number between 1 and 100")
    return _encoded(data, "JPEG", quality=quality)
