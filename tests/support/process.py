"""Python programs in a process of their own, where real torch has not been imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import flambeau

SOURCE = str(Path(flambeau.__file__).parent.parent)


def run(
    *arguments: Any, folder: Any = None, check: bool = True, source: Any = SOURCE
) -> subprocess.CompletedProcess[str]:
    """`python *arguments`, with the flambeau of these tests to be found, or that of the folder `source`.

    Unless `check` is off it must succeed without a warning.
    """
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    environment["PYTHONPATH"] = os.pathsep.join([str(source), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, *(["-W", "error"] if check else []), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if check:
        assert done.returncode == 0, done.stderr + done.stdout
    return done


def run_code(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -c code`."""
    return run("-c", textwrap.dedent(code), **options)


def cli(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """`flambeau *arguments`."""
    return run("-m", "flambeau", *arguments, **options)


NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?")


def assert_same_output(script: Path, folder: Path, *, theirs: tuple[str, ...] = (), tolerance: float = 2e-5) -> None:
    """Assert that a script prints under `flambeau run` what it prints under real torch (or as `python *theirs` there).

    The words must be the same; the numbers within what float32 allows, spaces as the columns need.
    """
    printed = []
    for name, arguments in (("ours", ("-m", "flambeau", "run", script)), ("theirs", (*theirs, script))):
        (folder / name).mkdir()
        done = run(*arguments, folder=folder / name, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        printed.append(done.stdout)
    words = ["".join(NUMBER.sub("#", text).split()) for text in printed]
    assert words[0] == words[1]
    for a, b in zip(*map(NUMBER.findall, printed), strict=True):
        assert float(a) == pytest.approx(float(b), rel=tolerance, abs=tolerance + 1e-4), (a, b)
