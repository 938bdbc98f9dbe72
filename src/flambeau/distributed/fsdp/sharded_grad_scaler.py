"""Scaled losses where parameters are sharded: with one process a `GradScaler` is what serves."""

from typing import Any

from .. import _later

ShardedGradScaler: Any = _later.kind("ShardedGradScaler", __name__)
