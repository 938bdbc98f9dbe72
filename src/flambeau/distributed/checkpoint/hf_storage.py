"""Refused: it is not there yet."""

from .. import _later

HuggingFaceStorageReader = _later.kind("HuggingFaceStorageReader", __name__)
HuggingFaceStorageWriter = _later.kind("HuggingFaceStorageWriter", __name__)
