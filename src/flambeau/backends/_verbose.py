"""What asks a library of the processor to print its calls: there is none here that prints them."""

from __future__ import annotations

from typing import Any, Self


class Verbose:
    """A `with` block in which the library would print each call. AssertionError on entering it for a level but 0: XLA's
    own products do not print; `torch.profiler` has the time of each operator.
    """

    library = ""

    def __enter__(self) -> Self | None:
        if self.wanted() == 0:
            return None
        raise AssertionError(
            f"Failed to set {self.library} into verbose mode. Please consider to disable this verbose scope. (Nothing here is "
            "computed by a library that prints its calls: torch.profiler shows the operators and their time.)"
        )

    def wanted(self) -> int:
        """The level that is asked for."""
        raise NotImplementedError

    def __exit__(self, *error: Any) -> None:
        return None
