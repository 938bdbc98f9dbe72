"""Gradients averaged over all processes for some steps, and then over a few (the others by averages of the parameters)."""

from __future__ import annotations

from typing import Any

from ....processes.buckets import GradBucket, averaged
from ....processes.groups import chosen, new_subgroups
from ....processes.work import Future


class PostLocalSGDState:
    """How often the hook has run, and over which groups it averages: `process_group`, and `subgroup` from step
    `start_localSGD_iter` on (None: the processes of this machine; nobody without `post_local_gradient_allreduce`)."""

    def __init__(
        self, process_group: Any, subgroup: Any, start_localSGD_iter: int, post_local_gradient_allreduce: bool = True
    ):
        self.process_group, self.subgroup = process_group, subgroup
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count the step, with its last bucket."""
        if bucket.is_last():
            self.iter += 1


def post_localSGD_hook(state: PostLocalSGDState, bucket: GradBucket) -> Future:
    """The average over all, or over the few."""
    early = state.iter < state.start_localSGD_iter
    if not early and state.subgroup is None:
        state.subgroup = new_subgroups()[0]
    group = chosen(state.process_group) if early else state.subgroup
    state.maybe_increase_iter(bucket)
    if not early and not state.post_local_gradient_allreduce:
        return Future(_Done(), bucket.buffer)
    return averaged(bucket.buffer(), group)


class _Done:
    def wait(self) -> bool:
        return True

    def is_completed(self) -> bool:
        return True
