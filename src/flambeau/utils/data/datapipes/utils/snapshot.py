"""A pipe set back to where it was."""

from __future__ import annotations

from typing import Any

from ...graph_settings import apply_random_seed

__all__: list[str] = []


def _simple_graph_snapshot_restoration(datapipe: Any, n_iterations: int, rng: Any = None) -> None:
    """Go on, at the next iteration, behind the first `n_iterations` items: they are read and dropped."""
    if rng is not None:
        apply_random_seed(datapipe, rng)
    items = iter(datapipe)
    for _ in range(n_iterations):
        next(items)
    datapipe._fast_forward_iterator = items
