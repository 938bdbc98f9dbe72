"""Refused: it is not there yet."""

from typing import Any

from .. import _later

__all__ = ["HuggingFaceStorageReader", "HuggingFaceStorageWriter"]


HuggingFaceStorageReader: Any = _later.kind("HuggingFaceStorageReader", __name__)
HuggingFaceStorageWriter: Any = _later.kind("HuggingFaceStorageWriter", __name__)
