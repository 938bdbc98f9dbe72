"""Refused: it is not there yet."""

from typing import Any

from ... import _later

powerSGD_hook: Any = _later.function("powerSGD_hook", __name__)
batched_powerSGD_hook: Any = _later.function("batched_powerSGD_hook", __name__)
PowerSGDState: Any = _later.kind("PowerSGDState", __name__)
