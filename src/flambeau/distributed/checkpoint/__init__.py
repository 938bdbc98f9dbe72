"""Checkpoints that several processes write. Their names are here; `torch.save` serves one process."""

from .. import _later
from . import default_planner, format_utils, hf_storage, optimizer, state_dict, state_dict_loader

_FUNCTIONS = ("async_save", "load", "load_state_dict", "save", "save_state_dict")
_KINDS = ("FileSystemReader", "FileSystemWriter", "StorageReader", "StorageWriter", "Metadata")
globals().update({name: _later.function(name, __name__) for name in _FUNCTIONS})
globals().update({name: _later.kind(name, __name__) for name in _KINDS})
