"""Every snippet of the documents that describe the system, unmodified, says under `flambeau run` what it says under torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
# networks at 224x224 and batch 32 whose float32 sums differ in order; the others are compared more strictly
TOLERANCE = {"classifier": 2e-4, "resnet34": 1e-3, "alexnet": 2e-4}
NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?")

# torchvision is no test dependency: under real torch the snippet's torchvision.models.AlexNet is its own class
FAKE_TORCHVISION = (
    "import sys, types, runpy; tv = types.ModuleType('torchvision'); sys.modules['torchvision'] = tv; path = sys.argv[1]\n"
    "source = open(path).read(); cut = source[:source.index('alexnet = AlexNet()')].replace('import torchvision', '')\n"
    "space = {'__name__': 'fake'}; exec(cut, space); tv.models = types.SimpleNamespace(AlexNet=space['AlexNet'])\n"
    "sys.argv = sys.argv[1:]; runpy.run_path(path, run_name='__main__')"
)


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("script", sorted(p.stem for p in SCRIPTS.glob("*.py")))
def test_snippet(script: str, tmp_path: Path) -> None:
    path = str(SCRIPTS / f"{script}.py")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    if script == "alexnet":
        theirs = run([sys.executable, "-c", FAKE_TORCHVISION, path], tmp_path / "theirs")
    else:
        theirs = run([sys.executable, path], tmp_path / "theirs")
    ours = run([sys.executable, "-m", "flambeau", "run", path], tmp_path / "ours")
    # the words must be the same; the numbers within what float32 allows, spaces as the columns need
    plain = ["".join(NUMBER.sub("#", text).split()) for text in (ours, theirs)]
    assert plain[0] == plain[1]
    tolerance = TOLERANCE.get(script, 2e-5)
    for a, b in zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True):
        assert float(a) == pytest.approx(float(b), rel=tolerance, abs=tolerance + 1e-4), (a, b)
