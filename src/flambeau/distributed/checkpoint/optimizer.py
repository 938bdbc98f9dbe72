"""Refused: it is not there yet."""

from .. import _later

load_sharded_optimizer_state_dict = _later.function("load_sharded_optimizer_state_dict", __name__)
