"""Between checkpoints of several processes and single files."""

from __future__ import annotations

import os

from ...checkpoint.loading import load as load_file
from ...checkpoint.saving import save as save_file
from ...runtime.absent import refuse
from .. import _later
from .filesystem import FileSystemReader
from .state_dict_loader import everything
from .state_dict_saver import save

__all__ = ["dcp_to_torch_save", "torch_save_to_dcp"]


_load_state_dict = _later.function("_load_state_dict", __name__)
_EmptyStateDictLoadPlanner = _later.kind("_EmptyStateDictLoadPlanner", __name__)


def dcp_to_torch_save(dcp_checkpoint_dir: str | os.PathLike[str], torch_save_path: str | os.PathLike[str]) -> None:
    """Write all that a checkpoint holds into one file, as `torch.save` does. By one process."""
    save_file(everything(FileSystemReader(dcp_checkpoint_dir)), torch_save_path)


def torch_save_to_dcp(torch_save_path: str | os.PathLike[str], dcp_checkpoint_dir: str | os.PathLike[str]) -> None:
    """Write what is in a file of `torch.save` as a checkpoint. By one process."""
    save(load_file(torch_save_path, weights_only=True), checkpoint_id=dcp_checkpoint_dir, no_dist=True)


refuse(
    globals(),
    "files of torch.save are read whole by each process here: use torch_save_to_dcp, then torch.distributed.checkpoint.load",
    "BroadcastingTorchSaveReader DynamicMetaLoadPlanner",
)
