"""Where the examples are, which `flambeau demo` runs and `flambeau new` copies."""

from __future__ import annotations

import sys
from pathlib import Path

import flambeau


def examples_folder() -> Path:
    """Inside of an installed package, beside `src/` in a checkout."""
    package = Path(flambeau.__file__).parent
    for folder in (package / "examples", package.parent.parent / "examples"):
        if folder.is_dir():
            return folder
    sys.exit(f"flambeau: the examples are not installed (looked in {package / 'examples'})")
