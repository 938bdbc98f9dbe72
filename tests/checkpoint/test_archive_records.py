"""The records of a `.pt` file, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import flambeau as fb


def test_records(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.arange(4.0)}, path)
    ours, theirs = fb.PyTorchFileReader(str(path)), torch.PyTorchFileReader(str(path))
    assert set(ours.get_all_records()) == set(theirs.get_all_records())
    assert ours.get_record("data.pkl") == theirs.get_record("data.pkl") and ours.has_record("data/0")
    assert ours.get_storage_from_record("data/0", 4, fb.float32).tolist() == [0, 1, 2, 3]
    for reader in (ours, theirs):
        with pytest.raises(RuntimeError, match="PytorchStreamReader failed locating file nothing"):
            reader.get_record("nothing")
    (tmp_path / "text").write_text("no archive" * 100)
    for lib in (fb, torch):
        with pytest.raises(RuntimeError, match="PytorchStreamReader failed reading zip archive"):
            lib.PyTorchFileReader(str(tmp_path / "text"))
