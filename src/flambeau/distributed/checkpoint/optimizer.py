"""Refused: it is not there yet."""

from typing import Any

from .. import _later

__all__ = ["load_sharded_optimizer_state_dict"]


load_sharded_optimizer_state_dict: Any = _later.function("load_sharded_optimizer_state_dict", __name__)
