"""MKL is not used."""

from operator import index as _index

from ..core.dispatch.help import explain_namespace as _explain_namespace
from ._verbose import Verbose as _Verbose

VERBOSE_OFF = 0
VERBOSE_ON = 1


def is_available() -> bool:
    """Never."""
    return False


class verbose(_Verbose):
    """Asks MKL to print its calls: nothing here calls it, so that only `VERBOSE_OFF` can be entered."""

    library = "MKL"

    def __init__(self, enable: int):
        self.enable: int = enable

    def wanted(self) -> int:
        return _index(self.enable)


_explain_namespace(globals(), "torch.backends.mkl", without=("verbose",))
