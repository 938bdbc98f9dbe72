"""Refused: it is not there yet."""

from .. import _later

_load_state_dict = _later.function("_load_state_dict", __name__)
dcp_to_torch_save = _later.function("dcp_to_torch_save", __name__)
torch_save_to_dcp = _later.function("torch_save_to_dcp", __name__)
_EmptyStateDictLoadPlanner = _later.kind("_EmptyStateDictLoadPlanner", __name__)
