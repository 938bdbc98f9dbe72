"""The command line: `flambeau run`, `launch`, `doctor`, `demo`, `new`, `summary`, `plot`, `inspect`, `convert`, `shim`."""

from __future__ import annotations


def main() -> None:
    """The entry point of the `flambeau` command."""
    from flambeau.cli.app import app

    app()
