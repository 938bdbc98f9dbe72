"""`flambeau new`: a training project to begin from, copied from examples/project."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from flambeau.cli.examples import examples_folder
from flambeau.cli.shim import VERSIONS

FILES = ("README.md", "data.py", "model.py", "train.py", "pyproject.toml")
_NAME = "PROJECT_NAME"


def write_project(folder: Path) -> list[Path]:
    """Write the project's files into a new or empty folder, with its name in them; the files."""
    title = folder.resolve().name
    templates = examples_folder() / "project"
    texts = {file: (templates / file).read_text(encoding="utf-8") for file in FILES}
    needs = tomllib.loads(texts["pyproject.toml"])["project"]["dependencies"]
    names = {"README.md": title, "pyproject.toml": _distribution(title, needs)}
    if folder.exists() and not folder.is_dir():
        sys.exit(f"flambeau: {folder} is a file; nothing was written. Give another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.exit(f"flambeau: {folder} is not empty; nothing was written. Give another name")
        for file, text in texts.items():
            (folder / file).write_text(text.replace(_NAME, names.get(file, _NAME)), encoding="utf-8")
    except OSError as error:
        sys.exit(f"flambeau: {error}")
    return [folder / file for file in FILES]


def _distribution(name: str, needs: list[str]) -> str:
    """The nearest name that a package may have (PyPA's specification of names: ASCII letters, digits and ._- inside).

    It is none that the project needs itself (pip would put the one in the other's place), nor one that a shim has.
    """
    allowed = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-") or "project"
    taken = {_canonical(re.split(r"[^A-Za-z0-9._-]", need)[0]) for need in needs} | set(VERSIONS)
    return f"{allowed}-project" if _canonical(allowed) in taken else allowed


def _canonical(name: str) -> str:
    """What pip compares (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
