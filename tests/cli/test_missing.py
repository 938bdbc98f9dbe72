"""docs/missing.md tells of every public name of PyTorch that is not here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support.process import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.version.cuda is not None, reason="the page tells of PyTorch's build for CPUs")
def test_the_page_is_current() -> None:
    done = run(ROOT / "tools" / "missing.py", "--check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
