"""Checkpoints that several processes write and read together, whatever the mesh was. `torch.save` serves one process."""

from . import (
    default_planner,
    filesystem,
    format_utils,
    hf_storage,
    metadata,
    optimizer,
    planner,
    planner_helpers,
    state_dict,
    state_dict_loader,
    state_dict_saver,
    stateful,
    storage,
)
from .api import CheckpointException
from .default_planner import DefaultLoadPlanner, DefaultSavePlanner
from .filesystem import FileSystemReader, FileSystemWriter
from .metadata import BytesStorageMetadata, ChunkStorageMetadata, Metadata, TensorStorageMetadata
from .planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner, WriteItem
from .state_dict_loader import load, load_state_dict
from .state_dict_saver import async_save, save, save_state_dict
from .storage import StorageReader, StorageWriter
