"""Options of a command line whose defaults are variables of the environment: `PET_` and the option's name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any


def _variable(dest: str) -> str:
    return f"PET_{dest.upper()}"


class _Stored(argparse.Action):
    """What stands on the command line, or what an option without a value stands for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)


class env(_Stored):
    """An option with a value, by default that of `PET_<name>`."""

    def __init__(self, dest: str, default: Any = None, required: bool = False, **options: Any) -> None:
        default = os.environ.get(_variable(dest), default)
        super().__init__(dest=dest, default=default, required=required and not default, **options)


class check_env(_Stored):
    """A flag, by default set if `PET_<name>` is a number other than 0."""

    def __init__(self, dest: str, default: bool = False, **options: Any) -> None:
        default = bool(int(os.environ.get(_variable(dest), int(default))))
        super().__init__(dest=dest, const=True, default=default, nargs=0, **options)
