"""Python programs in a process of their own, where real torch has not been imported."""

from __future__ import annotations

import atexit
import functools
import json
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


def _environment(source: Any) -> dict[str, str]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    environment["PYTHONPATH"] = os.pathsep.join([str(source), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return environment


def run(
    *arguments: Any, folder: Any = None, check: bool = True, source: Any = SOURCE
) -> subprocess.CompletedProcess[str]:
    """`python *arguments`, with the flambeau of these tests to be found, or that of the folder `source`.

    Unless `check` is off it must succeed without a warning.
    """
    command = [sys.executable, *(["-W", "error"] if check else []), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=_environment(source), capture_output=True, text=True, timeout=600)
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


@functools.cache
def _nursery(which: str) -> subprocess.Popen[str]:
    """The process that has imported flambeau ("ours") or real torch ("theirs"), and forks (see `nursery.py`)."""
    command = [sys.executable, str(Path(__file__).with_name("nursery.py")), which]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(SOURCE)
    )
    atexit.register(process.kill)
    return process


def _forked(which: str, script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A script in a fork of a process that has imported the library."""
    process = _nursery(which)
    assert process.stdin is not None and process.stdout is not None
    print(json.dumps([str(script), str(folder)]), file=process.stdin, flush=True)
    status = process.stdout.readline()
    assert status, f"{which}: the process that forks has ended"
    out, err = ((folder / name).read_text() for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess([str(script)], int(status), out, err)


def assert_same_output(
    script: Path, folder: Path, *, theirs: tuple[str, ...] = (), tolerance: float = 2e-5, forked: bool = False
) -> None:
    """Assert that a script prints under `flambeau run` what it prints under real torch (or as `python *theirs` there).

    The words must be the same; the numbers within what float32 allows, spaces as the columns need. `forked`: both run in forks of
    processes that have imported the libraries, which saves the time of the imports.
    """
    printed = []
    for name, arguments in (("ours", ("-m", "flambeau", "run", script)), ("theirs", (*theirs, script))):
        (folder / name).mkdir()
        done = _forked(name, script, folder / name) if forked else run(*arguments, folder=folder / name, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        printed.append(done.stdout)
    words = ["".join(NUMBER.sub("#", text).split()) for text in printed]
    assert words[0] == words[1]
    for a, b in zip(*map(NUMBER.findall, printed), strict=True):
        assert float(a) == pytest.approx(float(b), rel=tolerance, abs=tolerance + 1e-4), (a, b)
