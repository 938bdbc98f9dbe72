"""`flambeau demo`: the LeNet example, run as a user would run it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from flambeau.cli.examples import examples_folder
from flambeau.cli.run import run_script

_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def run_demo(folder: Path) -> None:
    """Train the example network and leave the results in `folder`."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        sys.exit(f"flambeau demo needs {' and '.join(missing)}: pip install 'flambeau[demo]'")
    from flambeau.utils.summary import summary

    example = run_script(str(examples_folder() / "lenet_digits.py"), ["--folder", str(folder)])
    print(f"\n{summary(example['LeNet'](), (1, 1, 28, 28))}\n\nThe results are in {folder.resolve()}")
