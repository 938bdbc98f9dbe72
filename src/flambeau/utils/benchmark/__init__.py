"""`torch.utils.benchmark`: how long a statement takes, measured until its results are there; tables that compare."""

from .utils.common import (
    Measurement,
    TaskSpec,
    ordered_unique,
    select_unit,
    set_torch_threads,
    trim_sigfig,
    unit_to_english,
)
from .utils.compare import Colorize, Compare
from .utils.fuzzer import FuzzedParameter, FuzzedTensor, Fuzzer, ParameterAlias
from .utils.sparse_fuzzer import FuzzedSparseTensor
from .utils.timer import Language, Timer, timer
from .utils.valgrind_wrapper.timer_interface import CallgrindStats, CopyIfCallgrind, FunctionCount, FunctionCounts
