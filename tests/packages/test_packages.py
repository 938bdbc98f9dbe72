"""Packages that were written for torch print on flambeau what they print on torch, in an environment of their own.

`environment.py` beside this file makes the environment; FLAMBEAU_PACKAGES names it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from packages.environment import call, python_of, scripts

ENVIRONMENT = os.environ.get("FLAMBEAU_PACKAGES")
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?")
# What initial values do that differ in their last bit, one in eight where a normal distribution is drawn in float32.
TOLERANCE = 2e-4
LIGHT = [name for name, path in scripts().items() if path.parent.name == "light"]
HEAVY = [name for name, path in scripts().items() if path.parent.name == "heavy"]


@pytest.mark.skipif(ENVIRONMENT is None, reason="FLAMBEAU_PACKAGES names no environment")
@pytest.mark.parametrize("name", [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)])
def test_a_package_prints_what_it_prints_on_torch(name: str, tmp_path: Path) -> None:
    assert ENVIRONMENT
    script = scripts()[name]
    done = call(python_of(Path(ENVIRONMENT)), "-P", script, capture_output=True, cwd=tmp_path, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    same(done.stdout, script.with_suffix(".expected").read_text())


def same(printed: str, expected: str) -> None:
    """The words and whole numbers are equal, other numbers nearly."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (printed, expected)]
    assert words[0] == words[1]
    for ours, theirs in zip(NUMBER.findall(printed), NUMBER.findall(expected), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=TOLERANCE, abs=TOLERANCE), printed


def test_what_differs_is_seen() -> None:
    same("loss 0.5000 [1, 2]", "loss 0.50001  [1, 2]")
    for other in ("loss 0.51 [1, 2]", "loss 0.5 [1, 3]", "lost 0.5 [1, 2]"):
        with pytest.raises(AssertionError):
            same(other, "loss 0.5 [1, 2]")
