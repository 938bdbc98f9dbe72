"""A virtual environment in which packages written for torch run on flambeau, made as a user would, and the tests in it.

python tests/packages/environment.py [FOLDER]               the light packages, which the extra `packages` names
python tests/packages/environment.py --all [FOLDER]         `all-packages` too, which takes half an hour and some 3 GB
python tests/packages/environment.py --expect PYTHON NAME.. writes what the scripts print with that Python's own torch

The environment gets flambeau from this repository, the shim, and then the packages by a plain `pip install`, which must not
bring another torch. An environment that is there already is used again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FORGET = ("PYTHONPATH", "VIRTUAL_ENV", "PIP_CONSTRAINT")


def scripts() -> dict[str, Path]:
    """The short uses of packages by name."""
    return {path.stem: path for room in ("light", "heavy") for path in sorted((HERE / room).glob("*.py"))}


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def call(python: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """A program of that environment, and of no other."""
    outside = {name: value for name, value in os.environ.items() if name not in FORGET}
    outside |= {"JAX_PLATFORMS": "cpu", "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([str(python), *map(str, arguments)], env=outside, text=True, **options)  # type: ignore[call-overload, no-any-return]


def packages(everything: bool) -> list[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return list(extras["packages"]) + (list(extras["all-packages"]) if everything else [])


def make(folder: Path, everything: bool) -> Path:
    """flambeau, the shim and the packages, in this order."""
    python = python_of(folder)
    if not python.exists():
        venv.create(folder, with_pip=True)
        call(python, "-m", "pip", "install", "-q", ROOT, check=True)
        call(python, "-m", "flambeau", "shim", "install", check=True)
    call(python, "-m", "pip", "install", "-q", *packages(everything), check=True)
    version = "import importlib.metadata as m, torch, flambeau; assert torch is flambeau; print(m.version('torch'))"
    held = call(python, "-c", version, check=True, capture_output=True).stdout.strip()
    if not held.endswith("+flambeau"):
        raise SystemExit(f"pip has put torch {held} in the shim's place")
    return python


def expect(python: Path, names: list[str]) -> None:
    for name in names or scripts():
        path = scripts()[name]
        with tempfile.TemporaryDirectory() as folder:
            path.with_suffix(".expected").write_text(
                call(python, "-P", path, check=True, capture_output=True, cwd=folder).stdout
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--expect", type=Path, metavar="PYTHON")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.expect:
        expect(given.expect, given.rest)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.rest[0] if given.rest else temporary).absolute()
        make(folder, given.all)
        command = [sys.executable, "-m", "pytest", HERE, "-q", "--durations=0", *(["-m", ""] if given.all else [])]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "FLAMBEAU_PACKAGES": str(folder)}).returncode


if __name__ == "__main__":
    sys.exit(main())
