"""Ways to average gradients in DistributedDataParallel: as they are, or sent in 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core.array.dtypes import bfloat16, float16
from ....processes.buckets import GradBucket, averaged
from ....processes.groups import chosen
from ....processes.work import Future

__all__ = [
    "allreduce_hook",
    "bf16_compress_hook",
    "bf16_compress_wrapper",
    "fp16_compress_hook",
    "fp16_compress_wrapper",
]


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average, as without a hook."""
    return averaged(bucket.buffer(), chosen(process_group))


def _compressed(dtype: Any, process_group: Any, bucket: GradBucket) -> Future:
    flat = bucket.buffer()
    return averaged(flat.to(dtype), chosen(process_group)).then(lambda future: flat.copy_(future.value()))


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average of float16 values."""
    return _compressed(float16, process_group, bucket)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future:
    """The average of bfloat16 values."""
    return _compressed(bfloat16, process_group, bucket)


def _wrapped(dtype: Any, hook: Callable[[Any, GradBucket], Any]) -> Callable[[Any, GradBucket], Any]:
    def call(state: Any, bucket: GradBucket) -> Any:
        before = bucket.buffer().dtype
        bucket.set_buffer(bucket.buffer().to(dtype))
        return hook(state, bucket).then(lambda future: future.value().to(before))

    return call


def fp16_compress_wrapper(hook: Callable[[Any, GradBucket], Any]) -> Callable[[Any, GradBucket], Any]:
    """The same hook, given float16 values."""
    return _wrapped(float16, hook)


def bf16_compress_wrapper(hook: Callable[[Any, GradBucket], Any]) -> Callable[[Any, GradBucket], Any]:
    """The same hook, given bfloat16 values."""
    return _wrapped(bfloat16, hook)
