"""`flambeau doctor`: prints what was found."""

from __future__ import annotations

from pathlib import Path

import typer

from flambeau.cli.run import as_main, script_runner
from flambeau.doctor import examine, language, report


def print_findings(script: Path, arguments: list[str], run: bool) -> int:
    """Print the findings; 1 if there are some, 2 if the script can't be read, else 0."""
    execute = script_runner(str(script), arguments) if run else None
    try:
        found = examine(str(script), None if execute is None else lambda: as_main(execute, report_errors=False))
    except (SyntaxError, UnicodeDecodeError) as error:
        typer.echo(f"{script}: {error}", err=True)
        return 2
    typer.echo(report(found, language()))
    return 1 if found else 0
