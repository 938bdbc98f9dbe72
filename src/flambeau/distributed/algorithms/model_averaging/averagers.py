"""Refused: it is not there yet."""

from ... import _later

ModelAverager = _later.kind("ModelAverager", __name__)
PeriodicModelAverager = _later.kind("PeriodicModelAverager", __name__, ModelAverager)
