"""Python programs in a process of their own, where real torch has not been imported."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import flambeau

SOURCE = str(Path(flambeau.__file__).parent.parent)


def run(*arguments: Any, folder: Any = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`python *arguments`, with flambeau to be found; unless `check` is off it must succeed without a warning."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    environment["PYTHONPATH"] = os.pathsep.join([SOURCE, environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, *(["-W", "error"] if check else []), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    if check:
        assert done.returncode == 0, done.stderr + done.stdout
    return done


def run_code(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -c code`."""
    return run("-c", textwrap.dedent(code), **options)


def cli(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """`flambeau *arguments`."""
    return run("-m", "flambeau", *arguments, **options)
