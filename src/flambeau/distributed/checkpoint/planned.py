"""Saving and loading by a planner and a storage that may be anybody's: what is asked of them, in order."""

from __future__ import annotations

import inspect
from typing import Any

from .coordination import Ranks
from .default_planner import DefaultLoadPlanner
from .metadata import Metadata
from .planner import LoadPlanner, SavePlanner
from .storage import StorageReader, StorageWriter


def save_by_plan(state_dict: dict[str, Any], writer: StorageWriter, planner: SavePlanner, ranks: Ranks) -> Metadata:
    """Write a state dict whose objects have been asked for their states."""
    first = ranks.rank == 0

    def local() -> Any:
        if "storage_meta" in inspect.signature(planner.set_up_planner).parameters:
            planner.set_up_planner(state_dict, storage_meta=writer.storage_meta(), is_coordinator=first)
        else:  # planners that are older than storages' own words
            planner.set_up_planner(state_dict, first)  # type: ignore[arg-type]
        writer.set_up_storage_writer(first)
        return writer.prepare_local_plan(planner.create_local_plan())

    plans = ranks.all(local)

    def together() -> Any:
        made, index = planner.create_global_plan(plans)
        return writer.prepare_global_plan(made), index

    decided, index = ranks.all(lambda: together() if first else None)[0]

    def write() -> Any:
        return writer.write_data(planner.finish_plan(decided[ranks.rank]), planner).wait()

    results = ranks.all(write)
    told = ranks.all(lambda: (writer.finish(index, results), index)[1] if first else None)
    made: Metadata = told[0]
    return made


def load_by_plan(state_dict: dict[str, Any], reader: StorageReader, planner: LoadPlanner, ranks: Ranks) -> None:
    """Fill a state dict whose objects have been asked for their states."""
    first = ranks.rank == 0

    def local() -> Any:
        index = reader.read_metadata()
        planner.set_up_planner(state_dict, index, first)
        reader.set_up_storage_reader(index, first)
        return reader.prepare_local_plan(planner.create_local_plan())

    plans = ranks.all(local)
    decided = ranks.all(lambda: reader.prepare_global_plan(planner.create_global_plan(plans)) if first else None)[0]

    def read() -> None:
        reader.read_data(planner.finish_plan(decided[ranks.rank]), planner).wait()

    ranks.all(read)
    if isinstance(planner, DefaultLoadPlanner):
        ranks.all(planner._settle)
