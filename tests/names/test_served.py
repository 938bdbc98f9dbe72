"""Modules that are no files: their names are those of others, or are refused when they are used."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flambeau import _served

ROWS = _served.table()


def test_each_is_a_module_of_pytorchs() -> None:
    root = Path(torch.__file__).parent
    for module in ROWS:
        place = root.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), module


def test_each_can_be_imported_and_has_its_names() -> None:
    for module, row in ROWS.items():
        made = importlib.import_module(f"flambeau.{module}")
        assert not row.names or [name for name in row.names if not hasattr(made, name)] == []
        if row.source:
            source = importlib.import_module(f"flambeau.{row.source}")
            assert all(getattr(made, name) is getattr(source, name) for name in row.names)


def test_what_is_refused_says_so_when_it_is_used() -> None:
    told = 0
    for module, row in ROWS.items():
        for name in row.names if row.why else ():
            found = getattr(importlib.import_module(f"flambeau.{module}"), name)
            if not hasattr(found, "__refused__"):
                continue  # an older path of a module that is here
            with pytest.raises((NotImplementedError, Exception)) as raised:
                raise found() if isinstance(found, type) and issubclass(found, Exception) else found(1, x=2)
            assert isinstance(raised.value, NotImplementedError) and row.why in str(raised.value)
            assert str(raised.value).startswith(f"torch.{module}.{name}: ")
            told += 1
    assert told > 500


def test_a_name_that_such_a_module_has_not_tells_why() -> None:
    from flambeau.distributed.optim import named_optimizer

    with pytest.raises(AttributeError, match=r"_NamedOptimizer.*torch\.optim"):
        named_optimizer._NamedOptimizer  # noqa: B018
    assert not hasattr(named_optimizer, "__wrapped__")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("flambeau.distributed.elastic.nothing")


def test_names_of_pytorchs_modules() -> None:
    for module in (
        "distributed.elastic.metrics.api",
        "utils.bundled_inputs",
        "jit.mobile",
        "accelerator.memory",
        "xpu.random",
    ):
        theirs, ours = (importlib.import_module(f"{lib}.{module}") for lib in ("torch", "flambeau"))
        listed = [name for name in getattr(theirs, "__all__", ours.__all__) if hasattr(theirs, name)]
        assert [name for name in listed if not hasattr(ours, name)] == []


def test_they_are_torchs_under_the_drop_in() -> None:
    code = """
import flambeau.drop_in; flambeau.drop_in.install()
import torch
import torch.distributed.elastic.agent.server.api as api
from torch.accelerator.memory import memory_allocated
from torch.distributed.elastic.rendezvous import RendezvousError
assert api.__name__ == "torch.distributed.elastic.agent.server.api" and memory_allocated is torch.accelerator.memory_allocated
assert RendezvousError.__module__ == "torch.distributed.elastic.rendezvous"
try:
    from torch.distributed.optim.named_optimizer import _NamedOptimizer
except ImportError as error:
    print(error)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "_NamedOptimizer is not in flambeau: optimizers of remote or scripted parameters" in made.stdout


def test_modules_whose_presence_is_an_answer_are_not_importable() -> None:
    """torch_geometric takes `rpc.api` for a sign that rpc works, and decorates with a private function of it."""
    assert "distributed.rpc.api" in _served.without()
    for module in _served.without():
        assert module not in ROWS and importlib.import_module(f"torch.{module}") is not None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"flambeau.{module}")
    code = """
import flambeau.drop_in; flambeau.drop_in.install()
from torch.distributed import rpc
try:
    import torch.distributed.rpc.api
except ImportError:
    print(hasattr(rpc, "api"), rpc.is_available())
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["False", "False"]
