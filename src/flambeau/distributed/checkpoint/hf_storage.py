"""Refused: it needs several processes."""

from .. import _later

HuggingFaceStorageReader = _later.kind("HuggingFaceStorageReader", __name__)
HuggingFaceStorageWriter = _later.kind("HuggingFaceStorageWriter", __name__)
