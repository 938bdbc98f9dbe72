"""The older path of `fully_shard`."""

from . import fsdp
