"""Several devices of one process: tensors cut over 8 virtual ones, and models trained so, equal to one device."""

from __future__ import annotations

import functools
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("device_program.py")
USUAL = (
    "meshes", "unequal_parts_in_programs",
    "tensors", "writes_keep_the_layout", "refusals", "explanation", "nothing_says_where", "mlp, fully, compiled",
    "convolutions, fsdp, eager",
    "gpt, two sides, eager",
)  # fmt: skip
REST = tuple(name for name in runpy.run_path(str(PROGRAM))["CHECKS"] if name not in USUAL)


def said(names: tuple[str, ...], steps: int) -> str:
    flags = {"STEPS": str(steps), "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run(
        [sys.executable, str(PROGRAM), *names], env=os.environ | flags, capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.fixture(scope="module")
def usual() -> str:
    return said(USUAL, 6)


@pytest.fixture(scope="module")
def rest() -> Callable[[str], str]:
    """A process for each model, which trains it on one device once for all ways: a process for all models takes too long."""
    return functools.cache(lambda model: said(tuple(name for name in REST if name.split(",")[0] == model), 20))


@pytest.mark.parametrize("name", USUAL)
def test_on_eight_devices(name: str, usual: str) -> None:
    assert f"\n{name}: holds\n" in usual, usual


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_more_on_eight_devices(name: str, rest: Callable[[str], str]) -> None:
    found = rest(name.split(",")[0])
    assert f"\n{name}: holds\n" in found, found
