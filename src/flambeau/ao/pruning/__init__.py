"""`torch.ao.pruning`: masks of weights that are computed while a model trains, and schedules for how many zeros they have."""

import importlib
from typing import Any

from ...nn.modules.linear import Linear
from .scheduler.base_scheduler import BaseScheduler as BaseScheduler
from .scheduler.cubic_scheduler import CubicSL as CubicSL
from .scheduler.lambda_scheduler import LambdaSL as LambdaSL
from .sparsifier.base_sparsifier import BaseSparsifier as BaseSparsifier
from .sparsifier.nearly_diagonal_sparsifier import NearlyDiagonalSparsifier as NearlyDiagonalSparsifier
from .sparsifier.utils import FakeSparsity as FakeSparsity
from .sparsifier.utils import fqn_to_module as fqn_to_module
from .sparsifier.utils import get_arg_info_from_tensor_fqn as get_arg_info_from_tensor_fqn
from .sparsifier.utils import module_to_fqn as module_to_fqn
from .sparsifier.weight_norm_sparsifier import WeightNormSparsifier as WeightNormSparsifier


def get_static_sparse_quantized_mapping() -> dict[type, Any]:
    """For `convert`: which class takes a sparse layer's place where it is quantized."""
    return {Linear: importlib.import_module("flambeau.ao.nn.sparse.quantized").Linear}


def get_dynamic_sparse_quantized_mapping() -> dict[type, Any]:
    """The same, quantized at each call."""
    return {Linear: importlib.import_module("flambeau.ao.nn.sparse.quantized.dynamic").Linear}
