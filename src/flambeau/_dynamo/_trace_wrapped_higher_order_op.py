"""A context in which `x[i]` takes a tensor `i` for an index under `vmap`: it does so here at any time."""

from __future__ import annotations


class TransformGetItemToIndex:
    """That context: it means nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None
