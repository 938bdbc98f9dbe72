"""Every snippet of the documents that describe the system, unmodified, says under `flambeau run` what it says under torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.process import assert_same_output

SCRIPTS = Path(__file__).parent / "scripts"
# networks at 224x224 and batch 32 whose float32 sums differ in order; the others are compared more strictly
TOLERANCE = {"classifier": 2e-4, "resnet34": 1e-3, "alexnet": 2e-4}

# torchvision is no test dependency: under real torch the snippet's torchvision.models.AlexNet is its own class
FAKE_TORCHVISION = (
    "import sys, types, runpy; tv = types.ModuleType('torchvision'); sys.modules['torchvision'] = tv; path = sys.argv[1]\n"
    "source = open(path).read(); cut = source[:source.index('alexnet = AlexNet()')].replace('import torchvision', '')\n"
    "space = {'__name__': 'fake'}; exec(cut, space); tv.models = types.SimpleNamespace(AlexNet=space['AlexNet'])\n"
    "sys.argv = sys.argv[1:]; runpy.run_path(path, run_name='__main__')"
)


@pytest.mark.parametrize("script", sorted(p.stem for p in SCRIPTS.glob("*.py")))
def test_snippet(script: str, tmp_path: Path) -> None:
    theirs = ("-c", FAKE_TORCHVISION) if script == "alexnet" else ()
    assert_same_output(SCRIPTS / f"{script}.py", tmp_path, theirs=theirs, tolerance=TOLERANCE.get(script, 2e-5))
