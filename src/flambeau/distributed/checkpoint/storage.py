"""Where checkpoints are written to and read from."""

from typing import Any

from .. import _later
from .filesystem import StorageReader, StorageWriter

__all__ = ["StorageReader", "StorageWriter", "WriteResult"]

WriteResult: Any = _later.kind("WriteResult", __name__)
