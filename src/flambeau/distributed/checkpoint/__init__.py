"""Checkpoints that several processes write and read together, whatever the mesh was. `torch.save` serves one process."""

from . import (
    default_planner,
    filesystem,
    format_utils,
    hf_storage,
    metadata,
    optimizer,
    state_dict,
    state_dict_loader,
    state_dict_saver,
    stateful,
)
from .api import CheckpointException
from .default_planner import DefaultLoadPlanner, DefaultSavePlanner, LoadPlanner, SavePlanner
from .filesystem import FileSystemReader, FileSystemWriter, StorageReader, StorageWriter
from .metadata import BytesStorageMetadata, ChunkStorageMetadata, Metadata, TensorStorageMetadata
from .state_dict_loader import load, load_state_dict
from .state_dict_saver import async_save, save, save_state_dict
