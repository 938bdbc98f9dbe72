"""The notebooks are those of the pages, and run from their first cell to the last."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from support.process import SOURCE, run

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").rglob("*.ipynb"))
QUICK = "zh/module"  # the one of the default run


def test_they_are_current():
    assert len(NOTEBOOKS) == 10
    done = run(ROOT / "tools" / "notebooks.py", "--check", check=False)
    assert done.returncode == 0, done.stderr


def names():
    for path in NOTEBOOKS:
        name = f"{path.parent.name}/{path.stem}"
        yield pytest.param(path, id=name, marks=() if name == QUICK else pytest.mark.slow)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("path", list(names()))
def test_it_runs(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager()
    client.km.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    asyncio.run(client.async_execute())
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    drawn = [o for o in outputs if "image/svg+xml" in o.get("data", {})]
    assert len(drawn) == sum(
        "flambeau.plot(" in c.source.splitlines()[-1] for c in notebook.cells if c.cell_type == "code"
    )
    assert json.dumps(notebook).count("```text") == 0
