"""`flambeau new`: the project that it writes runs, and a resumed run is the uninterrupted one."""

import os
import tomllib
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from flambeau.cli.app import app
from flambeau.cli.new import FILES
from support.process import run


def new(*arguments):
    done = CliRunner().invoke(app, ["new", *map(str, arguments)])
    return done.exit_code, done.output


def contents(folder):
    return {path.name: path.read_text() for path in Path(folder).iterdir()}


def test_it_writes_into_new_and_empty_folders(tmp_path, monkeypatch):
    code, output = new(tmp_path / "a" / "My digits")
    folder = tmp_path / "a" / "My digits"
    assert code == 0 and output.replace("\n", "").count("wrote ") == len(FILES)
    files = contents(folder)
    assert set(files) == set(FILES) and "PROJECT_NAME" not in "".join(files.values())
    assert files["README.md"].startswith("# My digits\n")
    assert tomllib.loads(files["pyproject.toml"])["project"]["name"] == "My-digits"
    (tmp_path / "数字").mkdir()
    monkeypatch.chdir(tmp_path / "数字")
    assert new(".")[0] == 0
    assert contents(".")["README.md"].startswith("# 数字\n")
    assert tomllib.loads(contents(".")["pyproject.toml"])["project"]["name"] == "project"


def test_a_project_is_not_named_as_what_it_needs(tmp_path):
    for name, project in (
        ("flambeau", "flambeau-project"),
        ("Scikit_Learn", "Scikit_Learn-project"),
        ("torch", "torch-project"),
    ):
        assert new(tmp_path / name)[0] == 0
        files = contents(tmp_path / name)
        assert tomllib.loads(files["pyproject.toml"])["project"]["name"] == project
        assert files["README.md"].startswith(f"# {name}\n")


def test_it_leaves_alone_what_is_there(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "train.py").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file", "file/below"):
        code, output = new(tmp_path / name)
        assert code == 1 and output.startswith("flambeau: "), output
    assert contents(tmp_path / "full") == {"train.py": "mine"} and (tmp_path / "file").read_text() == "mine"


def scalars(folder):
    events = EventAccumulator(os.fspath(folder))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def flat(state, path=""):
    """The leaves of a checkpoint by their paths, tensors as bytes."""
    if isinstance(state, dict | list):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: leaf for key, value in items for name, leaf in flat(value, f"{path}.{key}").items()}
    return {path: state.numpy().tobytes() if isinstance(state, torch.Tensor) else state}


TWICE = "import sys, train\nfor line in ('--epochs 2 --folder whole', '--epochs 1 --folder parts'):\n    sys.argv[1:] = line.split(); train.main()"


def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path):
    assert new(tmp_path / "digits")[0] == 0
    folder = tmp_path / "digits"
    told = run("-c", TWICE, folder=folder).stdout
    assert told.count("epoch 1: ") == 2 and told.count("epoch 2: ") == 1
    resumed = run("train.py", "--epochs", 2, "--folder", "parts", "--resume", folder=folder).stdout
    assert resumed.startswith("resumed after epoch 1") and "epoch 1: " not in resumed
    assert next(line for line in told.splitlines() if line.startswith("epoch 2: ")) in resumed.splitlines()

    whole, parts = (torch.load(folder / name / "checkpoint.pth", weights_only=True) for name in ("whole", "parts"))
    assert flat(whole) == flat(parts) and whole["epoch"] == 2
    assert whole["optimizer"]["state"][0]["step"] == 2 * (1437 // 32) and whole["scheduler"]["last_epoch"] == 2
    assert scalars(folder / "whole") == scalars(folder / "parts")
    assert scalars(folder / "whole")["accuracy/test"][-1][1] > 0.95


@pytest.mark.slow
def test_what_train_refuses(tmp_path):
    folder = tmp_path / "digits"
    assert new(folder)[0] == 0

    def refused(*arguments):
        done = run("train.py", *arguments, folder=folder, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        return done.stderr

    assert "there is no run/checkpoint.pth to resume from" in refused("--resume")
    assert "nothing to do: 0 epochs are done" in refused("--epochs", 0)
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == set(FILES)
    run("train.py", "--epochs", 1, folder=folder)
    assert "continue it with --resume" in refused()
    assert "nothing to do: 1 epochs are done" in refused("--epochs", 1, "--resume")
    stopped = "import sys, train\ndef stop(*_): raise KeyboardInterrupt\ntrain.train_epoch = stop; sys.argv[1:] = {}; train.main()"
    for arguments, told in (
        (["--epochs", "2", "--resume"], "stopped; continue with --resume\n"),
        (["--folder", "other"], "stopped\n"),
    ):
        done = run("-c", stopped.format(arguments), folder=folder, check=False)
        assert done.returncode == 1 and done.stderr.endswith(told) and "Traceback" not in done.stderr


def test_a_file_of_that_name_is_left_alone(tmp_path):
    (tmp_path / "there").write_text("mine")
    made = CliRunner().invoke(app, ["new", str(tmp_path / "there")])
    assert made.exit_code == 1 and "is a file; nothing was written" in made.output
    assert (tmp_path / "there").read_text() == "mine"
