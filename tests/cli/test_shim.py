"""The distribution that stands for torch: in other processes, to pip and to importlib.metadata."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flambeau.cli import shim
from support.process import run

CODE = """
import importlib.metadata, multiprocessing, subprocess, sys
from torch import nn
import torch, torch.nn.functional as F

def doubled(x):
    import torch
    return (torch.tensor(x) * 2).tolist()

if __name__ == "__main__":
    import flambeau
    assert torch is flambeau and sys.modules["torch"] is flambeau and F is nn.functional
    assert importlib.metadata.version("torch") == "2.13.0+flambeau"
    print(subprocess.run([sys.executable, "-c", "import torch; print(torch.ones(2).sum().item())"],
                         capture_output=True, text=True, check=True).stdout.strip())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(doubled, ([1, 2],)))
"""


def flambeau(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return run("-m", "flambeau", "shim", *arguments, **options)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def test_every_process_gets_flambeau(packages: Path, tmp_path: Path) -> None:
    assert "torch is flambeau now" in flambeau("install", "--into", packages).stdout
    script = tmp_path / "script.py"
    script.write_text(CODE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout.splitlines() == ["2.0", "[2, 4]"], done.stderr
    assert "torch: flambeau, 2.13.0+flambeau" in flambeau("status", "--into", packages).stdout


def test_torchvision_is_there_only_if_it_was_asked_for(packages: Path) -> None:
    """Packages look for it, and take all of the real one's names from it."""
    code = (
        "import functorch, torch, importlib.util as u\n"
        "print(u.find_spec('torchvision') is not None, 'flambeau' in torch.__file__, 'flambeau' in functorch.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])}
    for names, there in ((("torch",), "False"), (("torchvision",), "True")):
        shim.install(names, packages)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.stdout.split() == [there, "True", "True"], done.stderr


def test_it_is_removed_by_us_and_by_pip(packages: Path) -> None:
    shim.install(("torch", "torchvision"), packages)
    assert len(list(packages.iterdir())) == 5
    assert len(shim.remove(("torch", "torchvision"), packages)) == 5
    assert not list(packages.iterdir())
    assert "there was no shim" in flambeau("remove", "--into", packages).stdout


def test_every_file_is_recorded(packages: Path) -> None:
    (made,) = shim.install(("torch",), packages)
    record = (packages / "torch-2.13.0+flambeau.dist-info" / "RECORD").read_text().splitlines()
    assert {line.split(",")[0] for line in record} == {
        str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file()
    }
    assert made == packages / "torch"


def test_pip_is_told_to_keep_it(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(packages.parent))
    monkeypatch.setattr(sys, "path", [str(packages)])
    monkeypatch.setattr(shim, "folder", lambda: packages)
    shim.install(("torch",))
    settings = packages.parent / "pip.conf"
    assert settings.exists() and shim.holds_pip()
    record = (packages / "torch-2.13.0+flambeau.dist-info" / "RECORD").read_text()
    assert "../pip.conf,sha256=" in record  # so that pip removes it, too
    constraints = packages / "torch-2.13.0+flambeau.dist-info" / "constraints.txt"
    assert constraints.read_text() == "torch==2.13.0+flambeau\n"
    shim.remove(("torch",))
    assert not settings.exists() and not list(packages.iterdir())

    settings.write_text("[global]\ntimeout = 60\n")
    shim.install(("torch",))
    assert not shim.holds_pip() and settings.read_text() == "[global]\ntimeout = 60\n"
    shim.remove(("torch",))
    assert settings.exists()


def test_a_real_torch_is_left_alone(packages: Path) -> None:
    (packages / "torch").mkdir()
    done = flambeau("install", "--into", packages, check=False)
    assert done.returncode == 1 and "the real torch (unknown) is installed" in done.stderr
    assert [path.name for path in packages.iterdir()] == ["torch"]
    assert shim.remove(("torch",), packages) == []


def test_here_the_real_torch_is_met() -> None:
    with pytest.raises(shim.Refused, match=r"the real torch \(2\.13\.0"):
        shim.install(("torch",))


def test_a_checker_finds_what_a_module_with_a_computed_list_imports() -> None:
    import ast

    source = "from a import b as b, _c\nfrom d import e\ndef f(): ...\n"
    assert shim._forwarded("m", ast.parse(source + '__all__ = ["b"]')) == ["from m import *", "from m import f as f"]
    assert shim._forwarded("m", ast.parse(source + '__all__ = "b e".split()')) == [
        "from m import *",
        *(f"from m import {name} as {name}" for name in "bef"),
    ]
