"""The error of a checkpoint that some processes could not write or read."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

__all__ = ["CheckpointException"]


class CheckpointException(BaseException):
    """What went wrong in which process: `failures` holds errors by rank. A BaseException, as in PyTorch."""

    def __init__(self, msg: str, failures: Mapping[int, BaseException]):
        super().__init__(msg, failures)
        self._failures = dict(failures)

    @property
    def failures(self) -> dict[int, BaseException]:
        """The errors by rank."""
        return self._failures

    def __str__(self) -> str:
        lines = [f"CheckpointException ranks:{self._failures.keys()}"]
        for rank, error in self._failures.items():
            lines.append(f"Traceback (most recent call last): (RANK {rank})")
            lines.append("".join(traceback.format_exception(error)))
        return "\n".join(lines)
