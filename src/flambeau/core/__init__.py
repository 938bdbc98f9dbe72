"""What a tensor is: dtypes, devices, storages and views, the operator mechanism and the tape."""

from ..runtime import config
from .autograd import offered
from .tensor import forking
