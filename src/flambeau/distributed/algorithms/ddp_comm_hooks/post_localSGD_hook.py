"""Refused: it is not there yet."""

from typing import Any

from ... import _later

post_localSGD_hook: Any = _later.function("post_localSGD_hook", __name__)
PostLocalSGDState: Any = _later.kind("PostLocalSGDState", __name__)
