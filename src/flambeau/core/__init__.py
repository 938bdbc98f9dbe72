"""What a tensor is: dtypes, devices, storages and views, the operator mechanism and the tape."""

from . import config  # noqa: F401  (first: JAX must be set up before any array is made)
