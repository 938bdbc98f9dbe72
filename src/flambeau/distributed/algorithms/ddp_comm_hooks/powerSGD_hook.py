"""Refused: it is not there yet."""

from ... import _later

powerSGD_hook = _later.function("powerSGD_hook", __name__)
batched_powerSGD_hook = _later.function("batched_powerSGD_hook", __name__)
PowerSGDState = _later.kind("PowerSGDState", __name__)
