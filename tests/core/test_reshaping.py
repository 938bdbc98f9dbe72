"""What is said of shapes that are others at each call."""

from __future__ import annotations

import warnings

import pytest

import flambeau as fb
from flambeau.core.array import executables, reshaping


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(reshaping, "FEW", 4)
    monkeypatch.setattr(reshaping, "PATIENCE", 0.0)
    monkeypatch.setattr(reshaping.spent, "seconds", 0.0)
    monkeypatch.setattr(reshaping.spent, "told", False)
    monkeypatch.setattr(executables, "store", lambda: None)  # what is on the disk is not compiled


def told(lengths):
    net = fb.nn.Linear(5, 7)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for length in lengths:
            net(fb.zeros(length, 5)).softmax(0)
    return [(w.filename, str(w.message)) for w in found if "for shapes that are new to them" in str(w.message)]


def test_new_shapes_at_each_call_are_told_of_once_with_the_users_line(impatient):
    found = told(range(61, 75))
    assert [name for name, _ in found] == [__file__]
    assert "torch.compile(dynamic=True)" in found[0][1]


def test_shapes_that_stay_are_not(impatient, monkeypatch):
    told([80] * 14)
    monkeypatch.setattr(reshaping.spent, "told", False)
    assert not told([80] * 14)


def test_nor_is_little_time(impatient, monkeypatch):
    monkeypatch.setattr(reshaping, "PATIENCE", 1e6)
    assert not told(range(91, 105))
    assert 0 < reshaping.spent.seconds < 1e6
