"""What files hold, by the ends of their names."""

from __future__ import annotations

import importlib
import io
import json
import os.path
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from .....core.dispatch.messages import message
from .....ops.making.conversion import from_numpy
from .common import StreamWrapper

__all__ = """
    Decoder ImageHandler MatHandler audiohandler basichandlers extension_extract_fn handle_extension imagehandler mathandler
    videohandler
""".split()


def basichandlers(extension: str, data: bytes) -> Any:
    """Text, numbers, JSON and pickles; None for other ends of names."""
    if extension in "text txt transcript":
        return data.decode("utf-8")
    if extension in ("cls", "cls2", "class", "count", "index", "inx", "id"):
        try:
            return int(data)
        except ValueError:
            return None
    if extension in "json jsn":
        return json.loads(data)
    if extension in ("pyd", "pickle"):
        return pickle.loads(data)
    return None


def handle_extension(extensions: str, f: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    """A handler that applies `f` to the data of files whose names end so (one word, or several words between points)."""
    ends = [end.split(".") for end in extensions.lower().split()]

    def handler(extension: str, data: Any) -> Any:
        parts = extension.lower().split(".")
        return f(data) if any(len(end) <= len(parts) and parts[-len(end) :] == end for end in ends) else None

    return handler


# How an image is given: kind, dtype, mode of PIL.
_IMAGES = {
    f"{kind}{mode or 'rgb'}{bits}" if mode else f"{kind}{bits}": (kind or "numpy", "uint8" if bits else "float", mode or "rgb")
    for kind in ("", "torch", "pil")
    for mode in ("l", "rgb", "rgba", "")
    for bits in ("8", "")
    if (kind or mode) and not (kind == "pil" and bits) and (mode or not bits)
}  # fmt: skip


class ImageHandler:
    """Decodes jpg, jpeg, png, ppm, pgm, pbm and pnm: as a NumPy array ("rgb", "l8"), a tensor ("torchrgb") or PIL's ("pil")."""

    def __init__(self, imagespec: str):
        if imagespec not in _IMAGES:
            raise AssertionError(f"unknown image specification: {imagespec}")
        self.imagespec = imagespec.lower()

    def __call__(self, extension: str, data: bytes) -> Any:
        if extension.lower() not in "jpg jpeg png ppm pgm pbm pnm".split():
            return None
        kind, dtype, mode = _IMAGES[self.imagespec]
        image: Any = _needed("PIL.Image", "Pillow", "image").open(io.BytesIO(data))
        image.load()
        image = image.convert(mode.upper())
        if kind == "pil":
            return image
        values = np.asarray(image)
        values = values if dtype == "uint8" else values.astype(np.float32) / 255
        return values if kind == "numpy" else from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _needed(module: str, package: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModuleNotFoundError(message("pipe_package_missing", package=package, what=what)) from error


def imagehandler(imagespec: str) -> ImageHandler:
    """A handler of images."""
    return ImageHandler(imagespec)


def _by_file(data: bytes, end: str, read: Callable[[str], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"file.{end}")
        with open(path, "wb") as file:
            file.write(data)
        return read(path)


def videohandler(extension: str, data: bytes) -> Any:
    """A video by torchvision; None for other files."""
    if extension not in "mp4 ogv mjpeg avi mov h264 mpg webm wmv".split():
        return None
    return _by_file(data, extension, lambda path: _needed("torchvision.io", "torchvision", "video").read_video(path))


def audiohandler(extension: str, data: bytes) -> Any:
    """Sound by torchaudio; None for other files."""
    if extension not in ("flac", "mp3", "sox", "wav", "m4a", "ogg", "wma"):
        return None
    return _by_file(data, extension, lambda path: _needed("torchaudio", "torchaudio", "audio").load(path))


class MatHandler:
    """Files of Matlab by SciPy."""

    def __init__(self, **loadmat_kwargs: Any):
        self.sio = _needed("scipy.io", "scipy", "mat")
        self.loadmat_kwargs = loadmat_kwargs

    def __call__(self, extension: str, data: bytes) -> Any:
        return self.sio.loadmat(io.BytesIO(data), **self.loadmat_kwargs) if extension == "mat" else None


def mathandler(**loadmat_kwargs: Any) -> MatHandler:
    """A handler of Matlab's files."""
    return MatHandler(**loadmat_kwargs)


def extension_extract_fn(pathname: str) -> str:
    """The end of a path, without its point."""
    return os.path.splitext(pathname)[1][1:]


class Decoder:
    """Decodes pairs of paths and data: the first handler whose answer is not None has done it."""

    def __init__(self, *handler: Callable[..., Any], key_fn: Callable[[str], str] = extension_extract_fn):
        self.handlers = list(handler)
        self.key_fn = key_fn

    def add_handler(self, *handler: Callable[..., Any]) -> None:
        """Handlers that are asked last."""
        self.handlers.extend(handler)

    def decode1(self, key: str, data: Any) -> Any:
        """What the handlers make of data; the data itself if none knows it."""
        for handler in self.handlers:
            result = handler(key, data)
            if result is not None:
                return result
        return data

    def decode(self, data: Any) -> dict[str, Any]:
        """A dict from paths to what they hold. Streams are read and closed."""
        result: dict[str, Any] = {}
        for path, held in [data] if isinstance(data, tuple) else data:
            if path.startswith("__"):
                if isinstance(held, bytes):
                    held = held.decode("utf-8")
                result[path] = held
                continue
            if isinstance(held, (io.IOBase, StreamWrapper)):
                stream, held = held, held.read()
                stream.close()
            result[path] = self.decode1(self.key_fn(path), held)
        return result

    def __call__(self, data: Any) -> dict[str, Any]:
        return self.decode(data)
