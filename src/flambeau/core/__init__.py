"""What a tensor is: dtypes, devices, storages and views, the operator mechanism and the tape."""

from . import config, forking
