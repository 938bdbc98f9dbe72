"""Data sets, samplers and the loader that makes batches of them."""

from flambeau.core.dispatch.help import explain_classes, explain_functions, explain_namespace
from flambeau.utils.data import _utils, dataloader, datapipes, dataset, distributed, sampler
from flambeau.utils.data._utils.collate import default_collate, default_convert
from flambeau.utils.data._utils.worker import get_worker_info
from flambeau.utils.data.dataloader import DataLoader, _DatasetKind
from flambeau.utils.data.datapipes._decorator import (
    argument_validation,
    guaranteed_datapipes_determinism,
    non_deterministic,
    runtime_validation,
    runtime_validation_disabled,
)
from flambeau.utils.data.datapipes.datapipe import (
    DataChunk,
    DFIterDataPipe,
    IterDataPipe,
    MapDataPipe,
    functional_datapipe,
)
from flambeau.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from flambeau.utils.data.distributed import DistributedSampler
from flambeau.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

explain_classes(
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
explain_functions([default_collate, default_convert, get_worker_info, random_split], "torch.utils.data")
explain_namespace(globals(), "torch.utils.data", homes=("flambeau.utils.data.datapipes",), without=("DFIterDataPipe",))
