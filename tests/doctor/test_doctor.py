"""Scripts with mistakes that learners make, and one without: what is found, and at which lines."""

import os
import runpy
import string
import subprocess
import sys
from pathlib import Path

import pytest

from doctor import disguises, learners, styles
from flambeau.doctor import Finding, examine, report
from flambeau.doctor.findings import TEXTS

SCRIPTS = Path(__file__).parent / "scripts"
FOUND = {
    "many_mistakes": {
        ("plain-container", 8),
        ("not-in-optimizer", 23),
        ("softmax-before-cross-entropy", 23),
        ("no-zero-grad", 25),
        ("no-eval", 29),
        ("no-no-grad", 29),
        ("direct-forward", 33),
    },
    "no_super": {("missing-super", 6), ("raised", 7)},
    "constant_loss": {
        ("constant-loss", 7),
        ("no-gradients", 8),
        ("constant-loss", 10),  # and no advice to put line 9 under no_grad
        ("raised", 10),
    },
    "clean": set(),
}


def _run(script, folder):
    """Examine a script in this process, with flambeau by its own name (torch is the real one here)."""
    text = (SCRIPTS / f"{script}.py").read_text()
    path = folder / f"{script}.py"
    path.write_text(
        text.replace("import torch\n", "import flambeau as torch\n").replace("from torch ", "from flambeau ")
    )
    return examine(str(path), lambda: runpy.run_path(str(path), run_name="__main__"))


@pytest.mark.parametrize("script", FOUND)
def test_what_is_found(script, tmp_path, capsys):
    found = _run(script, tmp_path)
    assert {(f.kind, f.line) for f in found} == FOUND[script]
    assert {Path(f.file).stem for f in found} <= {script}
    if script == "constant_loss":
        assert (
            "    loss.backward()\nRuntimeError: element 0 of tensors does not require grad and does not have a grad_fn\n"
        ) in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("each", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_what_learners_write(each, tmp_path, capsys):
    """Each mistake is found, and nothing in what is right; every ninth script by default."""
    path, wrong = tmp_path / "script.py", []
    scripts = [
        *((n, t, kind) for n, (t, kind) in learners.BAD.items()),
        *((n, t, None) for n, t in learners.CLEAN.items()),
    ]
    for name, text, kind in scripts[::each]:
        path.write_text(text)
        found = {f.kind for f in examine(str(path), lambda: runpy.run_path(str(path), run_name="__main__"))}
        if (kind not in found) if kind else found:
            wrong.append((name, kind, found))
    assert not wrong and len(learners.BAD) + len(learners.CLEAN) >= 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("each", [12, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("programs", [styles, disguises])
def test_programs_from_courses(programs, each, tmp_path, capsys):
    """Nothing is found in what is right, and in the others the mistake; every twelfth by default."""
    path, wrong = tmp_path / "script.py", []
    scripts = [
        *((n, t, None) for n, t in programs.RIGHT.items()),
        *((n, t, kind) for n, (t, kind) in programs.WRONG.items()),
    ]
    for name, text, kind in scripts[::each]:
        path.write_text(text.replace("FOLDER", str(tmp_path)))
        found = {f.kind for f in examine(str(path), lambda: runpy.run_path(str(path), run_name="__main__"))}
        if (kind not in found) if kind else found:
            wrong.append((name, kind, found))
    assert not wrong and len(scripts) >= 40


TOLD_APART = {
    "two models of one line": (
        "encode, decode = nn.Linear(4, 2), nn.Linear(2, 4)\nopt = optim.SGD(encode.parameters(), lr=0.1)\n"
        "for i in range(2):\n    loss = F.mse_loss(decode(encode(X)), X)\n    opt.zero_grad()\n    loss.backward()\n    opt.step()\n",
        {"not-in-optimizer"},
    ),
    "a gradient of the input": (
        "net = nn.Linear(4, 3).eval()\nx = torch.ones(1, 4, requires_grad=True)\nnet(x)\nnet(x).max().backward()\n",
        set(),
    ),
}


@pytest.mark.parametrize("name", TOLD_APART)
def test_what_is_told_apart(name, tmp_path, capsys):
    text, kinds = TOLD_APART[name]
    (path := tmp_path / "script.py").write_text(styles.HEAD + "X = torch.ones(8, 4)\n" + text)
    assert {f.kind for f in examine(str(path), lambda: runpy.run_path(str(path), run_name="__main__"))} == kinds


def test_nothing_stays_behind(tmp_path):
    import flambeau as fl
    from flambeau.nn.modules import _hooks

    before = fl.optim.Optimizer.zero_grad, fl.nn.Module.zero_grad, fl.nn.Module.load_state_dict
    _run("many_mistakes", tmp_path)
    assert before == (fl.optim.Optimizer.zero_grad, fl.nn.Module.zero_grad, fl.nn.Module.load_state_dict)
    assert not _hooks.global_call_hooks
    assert fl.compile(lambda x: x + 1)(fl.ones(2)).tolist() == [2, 2]


READ = {
    "class A(nn.Module):\n def __init__(self):\n  self.a = 1\n": [("missing-super", 2)],
    "class A(nn.Module):\n def __init__(self):\n  nn.Module.__init__(self)\n  self.a = 1\n": [],
    "class A(nn.Module):\n def __init__(self):\n  self.n = 3\n  self.a = nn.ReLU()\n  super().__init__()\n": [
        ("late-super", 4)
    ],
    "class A(nn.Module):\n def __init__(self):\n  layers = [nn.ReLU()]\n  self.n = 3\n  super().__init__()\n": [],
    "class A(torch.nn.Module): pass\nclass B(A):\n def __init__(self):\n  self.b = 2\n": [("missing-super", 3)],
    "class A:\n def __init__(self):\n  self.a = [nn.Linear(1, 1)]\n": [],
    "class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.a = [A() for _ in range(3)]\n": [
        ("plain-container", 4)
    ],
    "class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.a = []\n  for i in x:\n   self.a.append(nn.ReLU())\n": [
        ("plain-container", 4)
    ],
    "class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.a: dict = {'x': nn.ReLU()}\n": [
        ("plain-container", 4)
    ],
    "class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.a = nn.Sequential(*[nn.ReLU()])\n": [],
    "class A(nn.Module):\n def __init__(self):\n  super().__init__()\n  self.sizes = [1, 2]\n": [],
    "for x in d:\n loss.backward()\n opt.step()\n": [("no-zero-grad", 3)],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n opt.step()\n": [],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n l = loss.item()\n a.append(l)\n a.append(loss)\n": [
        ("graph-kept", 6)
    ],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n loss = loss.item()\n a.append(loss)\n": [],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n a += loss * x.size(0)\n": [("graph-kept", 4)],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n a += len(x) * loss\n": [("graph-kept", 4)],
    "for x in d:\n opt.zero_grad()\n loss.backward()\n a += loss.item() * len(x)\n": [],
    "for x in d:\n opt.zero_grad()\n total = one.sum()\n total += one * w\n total.backward()\n": [],
    "for x in d:\n p.grad = None\n loss.backward()\n opt.step()\n": [],
}


@pytest.mark.parametrize("source", READ)
def test_what_is_read(source, tmp_path):
    path = tmp_path / "s.py"
    path.write_text(source)
    assert [(f.kind, f.line) for f in examine(str(path), None)] == READ[source]


def test_texts_have_the_same_names_in_both_languages():
    names = lambda texts: sorted({n for t in texts for _, n, _, _ in string.Formatter().parse(t) if n})  # noqa: E731
    for kind, texts in TEXTS.items():
        assert set(texts) == {"en", "zh"} and names(texts["en"]) == names(texts["zh"]), kind


def test_the_command():
    environment = {**os.environ, "LC_ALL": "zh_CN.UTF-8", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "flambeau", "doctor", "many_mistakes.py"]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, env=environment, timeout=120)
    shown = done.stdout.decode()
    assert (
        done.returncode == 1
        and "many_mistakes.py:25: 优化器两步之间没有清零梯度" in shown
        and "共发现 7 处问题" in shown
    )
    assert report([Finding("no-zero-grad", "a.py", 3, {"name": "opt"})] * 2, "en").endswith("1 found")
