"""Refused: it is not there yet."""

from typing import Any

from ... import _later

ModelAverager: Any = _later.kind("ModelAverager", __name__)
PeriodicModelAverager: Any = _later.kind("PeriodicModelAverager", __name__, ModelAverager)
