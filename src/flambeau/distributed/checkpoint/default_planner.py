"""Refused: it is not there yet."""

from .. import _later

DefaultLoadPlanner = _later.kind("DefaultLoadPlanner", __name__)
DefaultSavePlanner = _later.kind("DefaultSavePlanner", __name__)
