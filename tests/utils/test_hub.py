"""`torch.hub`: files are fetched once, checked and loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.hub
import torch.utils.model_zoo

import flambeau as fb
import flambeau.utils.model_zoo
from support.values import same


@pytest.fixture(params=[fb, torch], ids=["flambeau", "torch"])
def library(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return request.param


@pytest.fixture
def served(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "plain.pth"
    torch.save(torch.nn.Linear(2, 3).state_dict(), path)
    named = tmp_path / f"net-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    named.write_bytes(path.read_bytes())
    return named


def test_fetched_once(library: Any, served: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    folder = tmp_path / "home/hub/checkpoints"
    assert library.hub.get_dir() == str(tmp_path / "home/hub")
    first = library.hub.load_state_dict_from_url(served.as_uri(), check_hash=True)
    assert [p.name for p in folder.iterdir()] == [served.name]
    assert capfd.readouterr().out == f'Downloading: "{served.as_uri()}" to {folder / served.name}\n'
    url = served.as_uri()
    served.unlink()
    again = library.hub.load_state_dict_from_url(url)
    assert not capfd.readouterr().out
    for state in (first, again):
        assert list(state) == ["weight", "bias"]
        if library is fb:
            same(state["weight"], torch.load(folder / served.name)["weight"])


def test_where_it_goes(library: Any, served: Path, tmp_path: Path) -> None:
    load_url = library.utils.model_zoo.load_url
    load_url(served.as_uri(), str(tmp_path / "models"), progress=False, file_name="other.pth")
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["other.pth"]


def test_wrong_content(library: Any, served: Path, tmp_path: Path) -> None:
    wrong = served.rename(tmp_path / "net-00000000.pth")
    with pytest.raises(RuntimeError, match=r'invalid hash value \(expected "00000000", got "'):
        library.hub.load_state_dict_from_url(wrong.as_uri(), progress=False, check_hash=True)
    assert not list((tmp_path / "home/hub/checkpoints").iterdir())


def test_set_dir(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fb.hub, "_folder", None)
    fb.hub.set_dir(tmp_path / "elsewhere")
    assert fb.hub.get_dir() == str(tmp_path / "elsewhere")


def test_executes_nothing(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3), tmp_path / "whole.pth")
    with pytest.raises(Exception, match="weights_only"):
        fb.hub.load_state_dict_from_url((tmp_path / "whole.pth").as_uri(), str(tmp_path / "here"), progress=False)
