"""The command line, in processes of its own."""

import os
import pickle

import pytest
import torch
from typer.testing import CliRunner

from flambeau import drop_in
from flambeau.cli.app import app
from support.process import cli, run, run_code

SCRIPT = """
import pickle
import sys
import torch
from helper import double

class Thing:
    pass

print(__name__, sys.argv, sys.path[0])
print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
print(double(torch.arange(3)))
"""


@pytest.fixture
def scripts(tmp_path):
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "script.py").write_text(SCRIPT)
    return folder


def test_run_a_script(scripts, tmp_path):
    arguments = ["scripts/script.py", "-x", "--flag", "1", "--help"]
    done = cli("run", *arguments, folder=tmp_path)
    expected = run(*arguments, folder=tmp_path)  # with real torch
    assert done.stdout == expected.stdout
    assert "['scripts/script.py', '-x', '--flag', '1', '--help']" in done.stdout


def test_run_a_module(scripts):
    done = cli("run", "-m", "script", "-x", "--help", folder=scripts)
    lines = done.stdout.splitlines()
    assert lines[0] == f"__main__ {[str(scripts / 'script.py'), '-x', '--help']} {scripts}"
    assert lines[1:] == ["True", "tensor([0, 2, 4])"]


def test_exit_codes_and_tracebacks(tmp_path):
    def run_text(text):
        (tmp_path / "s.py").write_text(text)
        return cli("run", "s.py", folder=tmp_path, check=False)

    assert run_text("import sys; sys.exit(3)").returncode == 3
    done = run_text("def f():\n    raise KeyError('gone')\n\nf()\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path / "s.py"}", line 4, in <module>'
        if '"/' in done.stderr
        else '  File "s.py", line 4, in <module>',
    ]
    assert done.stderr.rstrip().endswith("KeyError: 'gone'")
    assert "runpy" not in done.stderr and "typer" not in done.stderr
    done = run_text("def f(:\n")
    assert done.returncode == 1 and "SyntaxError" in done.stderr and "Traceback" not in done.stderr
    assert cli("run", "no_such.py", folder=tmp_path, check=False).returncode != 0


def here(*arguments):
    """`flambeau *arguments` within this process; returns its exit code and what it printed."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.output


def test_inspect(tmp_path):
    model = torch.nn.Linear(3, 2)
    torch.save(
        {"model": model.state_dict(), "epoch": 7, "half": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "m.pth"
    )
    code, stdout = here("inspect", tmp_path / "m.pth")
    lines = stdout.splitlines()

    def row(key):
        return next(line for line in lines if key in line).replace("│", " ").split()

    assert code == 0
    assert row("model.weight") == ["model.weight", "2x3", "torch.float32", "24"]
    assert row("model.bias") == ["model.bias", "2", "torch.float32", "8"]
    assert row("half") == ["half", "4", "torch.bfloat16", "8"]
    assert row("epoch") == ["epoch", "7", "int"]
    assert lines[-1] == "3 tensors, 40 bytes"


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_inspect_executes_nothing(tmp_path):
    evil = Evil(str(tmp_path / "made"))
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(evil))
    torch.save(evil, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        code, output = here("inspect", tmp_path / name)
        assert code == 1 and output.startswith("flambeau: ") and name in output
    assert not (tmp_path / "made").exists()


def test_histograms(tmp_path):
    values = torch.tensor([0.0, 0.0, 1.0, 2.0, float("nan")])
    torch.save(
        {"w": values, "n": torch.arange(48), "e": torch.zeros(0), "c": torch.ones(3), "epoch": 7}, tmp_path / "m.pth"
    )
    code, stdout = here("inspect", tmp_path / "m.pth", "--histograms")
    rows = {
        line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:-1]]
        for line in stdout.splitlines()
        if "│" in line
    }
    assert code == 0 and set(rows) == {"w", "n", "e", "c"}
    assert rows["w"] == ["5", "0.75", "0.8292", "0", "█" + 11 * " " + "▄" + 10 * " " + "▄", "2", "1 not finite"]
    assert rows["n"] == ["48", "23.5", "13.85", "0", 24 * "█", "47", ""]
    assert rows["c"] == ["3", "1", "0", "1", "█", "1", ""] and rows["e"][-1] == "no values"
    assert here("inspect", tmp_path / "m.pth", "--histograms", "--diff", tmp_path / "m.pth")[0] == 2


def test_histograms_advance_a_bar_by_every_byte(tmp_path, monkeypatch, capsys):
    from flambeau.cli import histograms

    torch.save({"w": torch.zeros(3), "n": [torch.arange(4)], "epoch": 7}, tmp_path / "m.pth")
    done = {}

    class Noted(histograms.Bar):
        def __exit__(self, *error):
            done[self._what] = self._done, self._total

    monkeypatch.setattr(histograms, "Bar", Noted)
    histograms.print_histograms(tmp_path / "m.pth")
    assert done == {"looking at": (44, 44)} and "n.0" in capsys.readouterr().out


def test_plot(tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\nnet = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())\nclass Half(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(4, 2)\n"
        "    def forward(self, x):\n        return super().forward(x)\n"
    )
    done = run_code(
        """
        from typer.testing import CliRunner
        from flambeau.cli.app import app

        for line in (
            "net.py:net --input 1,1,8,8 --theme dark",
            "net.py:Half -o half.svg",
            "net.py",
            "net.py:other",
            "none.py:net",
            "net.py:net -o net.png",
            "net.py:net -o none/net.svg",
            "net.py:net --input a",
            "net.py:net --theme blue",
            "net.py:torch",
            "net.py:net --input 1,2,8,8",
            "net.py:Half --dtype float64",
            "net.py:nn.Linear",
        ):
            made = CliRunner().invoke(app, ["plot", *line.split()])
            print(made.exit_code, made.output.splitlines()[0])
        """,
        folder=tmp_path,
    )
    made, half, *refused = done.stdout.splitlines()
    assert made == "0 wrote net.svg (1x1x8x8, 1 level open)" and half.startswith("0 wrote half.svg (1x4, ")
    assert "1×2×6×6" in (tmp_path / "net.svg").read_text() and (tmp_path / "half.svg").exists()
    told = (
        "module:callable",
        "no attribute 'other'",
        "none.py",
        "name the file .svg",
        "the folder none does not exist",
        "sizes are",
        "theme must",
        "is no network",
        "RuntimeError: ",
        "(tried 1x4, 1x16x4: ",
        "TypeError: ",
    )
    for line, words in zip(refused, told, strict=True):
        assert line.startswith("1 flambeau: ") and words in line, line


def test_summary():
    done = cli("summary", "torchvision.models:alexnet", "1,3,224,224")
    assert "classifier.6  Linear" in done.stdout and "61,100,840" in done.stdout and "714,188,480" in done.stdout


def test_summary_says_what_is_wrong(monkeypatch):
    monkeypatch.setattr(drop_in, "install", lambda: None)  # the real torch is here
    models = "flambeau.vision.models"
    for arguments in ([f"{models}:no", "1,3,8,8"], [models, "1"], [f"{models}:lenet", "a"], ["no.such:f", "1"]):
        code, output = here("summary", *arguments)
        assert code == 1 and output.startswith("flambeau: "), (arguments, output)


def test_help():
    code, stdout = here("--help")
    assert code == 0 and {"run", "demo", "summary", "inspect"} <= set(stdout.split())


@pytest.mark.slow
def test_demo(tmp_path):
    done = cli("demo", "--folder", "out", folder=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    accuracy = float(done.stdout.split("test accuracy: ")[1].split("%")[0])
    assert accuracy >= 97
    assert "61,706" in done.stdout  # the summary's total
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"lenet.pth", "learning-curves.png", "misclassified.png", "kernels.png"}
    state = torch.load(tmp_path / "out" / "lenet.pth", weights_only=True)
    assert state["features.0.weight"].shape == (6, 1, 5, 5)
