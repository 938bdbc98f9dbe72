"""By which way the modules came in that a package can't have."""

from __future__ import annotations

from .._errors import PackagingError

__all__ = ["find_first_use_of_broken_modules"]


def find_first_use_of_broken_modules(exc: PackagingError) -> dict[str, list[str]]:
    """For each module that is wrong, the path by which it came in.

    Args:
        exc: the error of a `PackageExporter`.

    Raises AssertionError for another error.
    """
    assert isinstance(exc, PackagingError), "exception must be a PackagingError"
    graph = exc.dependency_graph
    return {name: graph.first_path(name) for name, about in graph.nodes.items() if "error" in about}
