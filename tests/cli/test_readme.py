"""What README says is what happens: its Python runs, and CI runs its two commands."""

import re
from pathlib import Path

import pytest
import torch

from support.process import cli, run

ROOT = Path(__file__).parents[2]
README, CHINESE = (ROOT / "README.md").read_text(), (ROOT / "README.zh.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


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


@pytest.mark.slow
def test_its_commands_run(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pth")
    for name in "ab":
        torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / f"{name}.pth")
    (tmp_path / "package").mkdir()
    for script in ("train.py", "package/train.py"):
        (tmp_path / script).write_text("import torch, sys\nassert 'flambeau' in torch.__version__, sys.argv\n")
    lines = [line.partition("#")[0].split() for block in blocks("sh")[2:] for line in block.splitlines()]
    ours = [line[1:] for line in lines if line[:2] != ["flambeau", "shim"]]  # which tests of its own install
    assert [line[0] for line in ours] == "run run new doctor summary plot inspect inspect inspect convert".split()
    for line in ours:
        cli(*line[: line.index("&&") if "&&" in line else None], folder=tmp_path)
    assert (tmp_path / "digits" / "train.py").exists() and (tmp_path / "resnet18.svg").exists()


def test_the_chinese_one_has_the_same_commands_and_figures():
    def bare(text):
        return [re.sub(r"  # .*", "", block) for language in ("python", "sh") for block in blocks(language, text)]

    def figures(text):
        return re.findall(r"\*\*[\d.]+\*\*|(?<=\| )[\d.]+(?= \|)", text)

    assert bare(CHINESE) == bare(README) and figures(CHINESE) == figures(README) and len(figures(README)) == 32


def test_their_links_lead_somewhere():
    for text in (README, CHINESE):
        for target in re.findall(r"\]\((?!http)([^)#]+)", text) + re.findall(r'src(?:set)?="([^"]+)"', text):
            assert (ROOT / target).exists(), target
