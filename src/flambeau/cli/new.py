"""`flambeau new`: a training project to begin from, copied from examples/project."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from flambeau.cli.examples import examples_folder

FILES = ("README.md", "data.py", "model.py", "train.py", "pyproject.toml")
_NAME = "PROJECT_NAME"


def write_project(folder: Path) -> list[Path]:
    """Write the project's files into a new or empty folder, with its name in them; the files."""
    title = folder.resolve().name
    names = {"README.md": title, "pyproject.toml": _distribution(title)}
    templates = examples_folder() / "project"
    texts = {file: (templates / file).read_text(encoding="utf-8") for file in FILES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.exit(f"flambeau: {folder} is not empty; nothing was written. Give another name")
        for file, text in texts.items():
            (folder / file).write_text(text.replace(_NAME, names.get(file, _NAME)), encoding="utf-8")
    except OSError as error:
        sys.exit(f"flambeau: {error}")
    return [folder / file for file in FILES]


def _distribution(name: str) -> str:
    """The nearest name that a package may have (PyPA's specification of names: ASCII letters, digits and ._- inside)."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-") or "project"
