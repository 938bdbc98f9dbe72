"""Scaled losses where parameters are sharded: with one process a `GradScaler` is what serves."""

from .. import _later

ShardedGradScaler = _later.kind("ShardedGradScaler", __name__)
