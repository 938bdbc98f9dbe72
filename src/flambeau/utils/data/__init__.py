"""Data sets, samplers and the loader that makes batches of them."""

from flambeau.core.dispatch.help import (
    explain_classes as _explain_classes,
)
from flambeau.core.dispatch.help import (
    explain_functions as _explain_functions,
)
from flambeau.core.dispatch.help import (
    explain_methods as _explain_methods,
)
from flambeau.core.dispatch.help import (
    explain_namespace as _explain_namespace,
)
from flambeau.core.dispatch.help import (
    explain_own_methods as _explain_own_methods,
)
from flambeau.utils.data import _utils, dataloader, datapipes, dataset, distributed, graph, graph_settings, sampler
from flambeau.utils.data._utils.collate import default_collate as default_collate
from flambeau.utils.data._utils.collate import default_convert as default_convert
from flambeau.utils.data._utils.worker import get_worker_info as get_worker_info
from flambeau.utils.data.dataloader import DataLoader as DataLoader
from flambeau.utils.data.dataloader import _DatasetKind
from flambeau.utils.data.datapipes._decorator import argument_validation as argument_validation
from flambeau.utils.data.datapipes._decorator import (
    guaranteed_datapipes_determinism as guaranteed_datapipes_determinism,
)
from flambeau.utils.data.datapipes._decorator import non_deterministic as non_deterministic
from flambeau.utils.data.datapipes._decorator import runtime_validation as runtime_validation
from flambeau.utils.data.datapipes._decorator import runtime_validation_disabled as runtime_validation_disabled
from flambeau.utils.data.datapipes.datapipe import DataChunk as DataChunk
from flambeau.utils.data.datapipes.datapipe import DFIterDataPipe as DFIterDataPipe
from flambeau.utils.data.datapipes.datapipe import IterDataPipe as IterDataPipe
from flambeau.utils.data.datapipes.datapipe import MapDataPipe as MapDataPipe
from flambeau.utils.data.datapipes.datapipe import functional_datapipe as functional_datapipe
from flambeau.utils.data.dataset import ChainDataset as ChainDataset
from flambeau.utils.data.dataset import ConcatDataset as ConcatDataset
from flambeau.utils.data.dataset import Dataset as Dataset
from flambeau.utils.data.dataset import IterableDataset as IterableDataset
from flambeau.utils.data.dataset import StackDataset as StackDataset
from flambeau.utils.data.dataset import Subset as Subset
from flambeau.utils.data.dataset import TensorDataset as TensorDataset
from flambeau.utils.data.dataset import random_split as random_split
from flambeau.utils.data.distributed import DistributedSampler as DistributedSampler
from flambeau.utils.data.sampler import BatchSampler as BatchSampler
from flambeau.utils.data.sampler import RandomSampler as RandomSampler
from flambeau.utils.data.sampler import Sampler as Sampler
from flambeau.utils.data.sampler import SequentialSampler as SequentialSampler
from flambeau.utils.data.sampler import SubsetRandomSampler as SubsetRandomSampler
from flambeau.utils.data.sampler import WeightedRandomSampler as WeightedRandomSampler

# A literal list, since type checkers read no other.
# fmt: off
__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DFIterDataPipe", "DataChunk",
    "DataLoader", "Dataset", "DistributedSampler", "IterDataPipe", "IterableDataset",
    "MapDataPipe", "RandomSampler", "Sampler", "SequentialSampler", "StackDataset",
    "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "_DatasetKind",
    "argument_validation", "default_collate", "default_convert", "functional_datapipe", "get_worker_info",
    "guaranteed_datapipes_determinism", "non_deterministic", "random_split", "runtime_validation", "runtime_validation_disabled",
]
# fmt: on

_explain_classes(
    [
        *(
            BatchSampler,
            ChainDataset,
            ConcatDataset,
            DataLoader,
            Dataset,
            DistributedSampler,
            IterableDataset,
            RandomSampler,
        ),
        *(Sampler, SequentialSampler, StackDataset, SubsetRandomSampler, Subset, TensorDataset, WeightedRandomSampler),
    ],
    "torch.utils.data",
)
_explain_functions([default_collate, default_convert, get_worker_info, random_split], "torch.utils.data")
_explain_namespace(globals(), "torch.utils.data", homes=("flambeau.utils.data.datapipes",), without=("DFIterDataPipe",))
_explain_methods(IterDataPipe, "torch.utils.data.IterDataPipe")
_explain_own_methods([ConcatDataset, DataChunk, DataLoader, DistributedSampler], "torch.utils.data")
