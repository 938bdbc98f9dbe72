"""The parts of the loader: how samples become batches, and how workers make them ahead of time."""

from flambeau.utils.data._utils import collate, fetch, pin_memory, worker
