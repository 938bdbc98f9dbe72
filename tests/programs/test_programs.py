"""Ordinary PyTorch programs, as books, tutorials and training scripts have them, print under flambeau what they print
under real torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.process import assert_same_output

SCRIPTS = Path(__file__).parent / "scripts"
# training steps and iterations that feed float32's rounding back into themselves
TOLERANCE = {"derivatives": 1e-3, "vae_and_gan": 1e-4}
STARTS_PROCESSES = ("loader_workers",)  # which begin with the script's own process


@pytest.mark.parametrize("script", sorted(p.stem for p in SCRIPTS.glob("*.py")))
def test_program(script: str, tmp_path: Path) -> None:
    tolerance, forked = TOLERANCE.get(script, 2e-5), script not in STARTS_PROCESSES
    assert_same_output(SCRIPTS / f"{script}.py", tmp_path, tolerance=tolerance, forked=forked)
