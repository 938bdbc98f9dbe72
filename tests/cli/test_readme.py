"""What README says is what happens: its Python runs, and CI runs its two commands."""

import re
from pathlib import Path

from support.process import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_its_python_runs(tmp_path):
    for i, code in enumerate(blocks("python")):
        (tmp_path / f"block{i}.py").write_text(code)
        done = run(f"block{i}.py", folder=tmp_path)
        told = re.findall(r"print\(.*?\)  # (.*)", code)
        assert done.stdout.splitlines() == told


def test_ci_runs_its_two_commands():
    first, second = (block.strip() for block in blocks("sh")[:2])
    script = (ROOT / ".ci" / "run").read_text()
    assert first.startswith("pip install") and script.count(first) == 1
    assert second.startswith("pip install") and script.count(second) == 1


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
