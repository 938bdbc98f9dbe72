"""The switch of torch's oneDNN operators; flambeau's own oneDNN kernels do not look at it."""

from contextlib import AbstractContextManager
from operator import index as _index
from typing import Any

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ._frozen import within as _within
from ._precision import operator as _operator
from ._verbose import Verbose as _Verbose

VERBOSE_OFF = 0
VERBOSE_ON = 1
VERBOSE_ON_CREATION = 2

enabled = True
deterministic = False
allow_tf32: bool | None = None
matmul: Any = _operator("mkldnn", "matmul")
conv: Any = _operator("mkldnn", "conv")
rnn: Any = _operator("mkldnn", "rnn")


def flags(**switches: Any) -> AbstractContextManager[None]:
    """Other values of the switches inside the `with` block."""
    return _within(__name__, **switches)


def is_available() -> bool:
    """Never."""
    return False


class verbose(_Verbose):
    """Asks oneDNN to print its calls: flambeau's kernels leave that switch alone, so that only `VERBOSE_OFF` can be entered."""

    library = "MKLDNN"

    def __init__(self, level: int):
        self.level: int = level

    def wanted(self) -> int:
        return _index(self.level)


_explain_namespace(globals(), "torch.backends.mkldnn", without=("verbose",))
