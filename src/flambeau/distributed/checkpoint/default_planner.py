"""The planners that there are: names are flattened, tensors are cut as they lie."""

from __future__ import annotations

from typing import Any

from ...runtime.absent import refuse

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner"]


class SavePlanner:
    """Decides what is written: there is `DefaultSavePlanner`."""


class LoadPlanner:
    """Decides what is read: there is `DefaultLoadPlanner`."""


class DefaultSavePlanner(SavePlanner):
    """Writes everything once. The other options change nothing; NotImplementedError for containers that are not to be flattened."""

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, dedup_replicated_tensors: bool | None = None,
        dedup_save_to_lowest_rank: bool = False, enable_plan_caching: bool = False,
    ) -> None:  # fmt: skip
        _flat(flatten_state_dict)


class DefaultLoadPlanner(LoadPlanner):
    """Reads what the state dict asks for. With `allow_partial_load`, what the checkpoint lacks stays as it is."""

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, allow_partial_load: bool = False
    ) -> None:
        _flat(flatten_state_dict)
        self.allow_partial_load = allow_partial_load


def _flat(asked: bool) -> None:
    if not asked:
        raise NotImplementedError("flatten_state_dict=False: checkpoints hold values by their full names")


def only_default(planner: Any) -> None:
    """NotImplementedError for a planner that somebody else wrote."""
    if planner is not None and type(planner) not in (DefaultSavePlanner, DefaultLoadPlanner):
        raise NotImplementedError(
            f"torch.distributed.checkpoint: the planner {type(planner).__name__}: there are the default ones"
        )


refuse(
    globals(),
    "plans are made by flambeau's own writer and reader; torch.distributed.checkpoint.save and load take a state dict",
    "create_default_global_load_plan create_default_global_save_plan create_default_local_load_plan create_default_local_save_plan",
)
