"""The error of a checkpoint that some processes could not write or read."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

__all__ = ["CheckpointException"]


Failure = tuple[BaseException, traceback.StackSummary]


class CheckpointException(BaseException):
    """What went wrong in which process: `failures` holds errors, with where they were raised, by rank. A BaseException, as in PyTorch."""

    def __init__(self, msg: str, failures: Mapping[int, Failure]):
        super().__init__(msg, failures)
        self._failures = dict(failures)

    @property
    def failures(self) -> dict[int, Failure]:
        """The errors, and their lines of calls, by rank."""
        return self._failures

    def __str__(self) -> str:
        lines = [f"CheckpointException ranks:{self._failures.keys()}"]
        for rank, (error, calls) in self._failures.items():
            lines.append(f"Traceback (most recent call last): (RANK {rank})")
            lines.append("".join([*calls.format(), *traceback.format_exception_only(error)]))
        return "\n".join(lines)


def failure(error: BaseException) -> Failure:
    """An error, with the calls in which it was raised."""
    return error, traceback.extract_tb(error.__traceback__)
