"""Refused: it is not there yet."""

from ... import _later

post_localSGD_hook = _later.function("post_localSGD_hook", __name__)
PostLocalSGDState = _later.kind("PostLocalSGDState", __name__)
