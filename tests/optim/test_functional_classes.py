"""Optimizers that are given the gradients, a device of another process, and the settings of files."""

from __future__ import annotations

import importlib
import inspect
import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import flambeau as fb

KINDS: dict[str, dict[str, Any]] = {
    "Adam": {"amsgrad": True}, "AdamW": {"lr": 0.1}, "SGD": {"momentum": 0.9, "nesterov": True}, "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {}, "Adamax": {"weight_decay": 0.1}, "RMSprop": {"centered": True, "momentum": 0.5}, "Rprop": {},
}  # fmt: skip


def functional(lib: Any, name: str) -> Any:
    with warnings.catch_warnings():  # PyTorch's modules compile themselves by TorchScript
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module(f"{lib.__name__}.distributed.optim.functional_{name.lower()}")
    return getattr(module, f"_Functional{name}")


def quiet(kind: Any, *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings(record=True):  # PyTorch's switches itself on
        warnings.simplefilter("always")
        return kind(*args, **kwargs)


@pytest.mark.parametrize("name", KINDS)
def test_steps_by_given_gradients(name: str) -> None:
    results = []
    for lib in (torch, fb):
        params = [lib.tensor([1.0, -2.0, 0.5]), lib.tensor([[3.0], [0.1]])]
        optimizer = quiet(functional(lib, name), params, **KINDS[name])
        for i in range(3):
            optimizer.step([lib.tensor([0.1, -0.3, 0.2]) * (i + 1), lib.tensor([[1.0], [-1.0]])])
        if name != "Adagrad":  # whose PyTorch mixes up the states then
            optimizer.step([None, lib.tensor([[1.0], [2.0]])])
        if hasattr(optimizer, "step_param"):
            optimizer.step_param(params[0], lib.tensor([1.0, 1.0, 1.0]))
        assert all(p.grad is None for p in params)
        with pytest.raises(ValueError) as raised:
            optimizer.step([None])
        state = sorted(optimizer.state[params[0]])
        results.append(
            (
                params,
                state,
                optimizer.defaults,
                str(raised.value),
                list(inspect.signature(functional(lib, name)).parameters),
            )
        )
    theirs, ours = results
    for mine, wanted in zip(ours[0], theirs[0], strict=True):
        fb.testing.assert_close(mine, fb.tensor(wanted.numpy()))
    assert ours[1:] == theirs[1:]


def test_which_class_is_whose() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import utils as theirs

    from flambeau.distributed.optim import utils as ours

    assert {k.__name__: v.__name__ for k, v in ours.functional_optim_map.items()} == {
        k.__name__: v.__name__ for k, v in theirs.functional_optim_map.items()
    }
    assert quiet(ours.as_functional_optim, fb.optim.SGD, 0.1, momentum=0.9).defaults["momentum"] == 0.9
    with pytest.raises(ValueError, match="does not have a functional counterpart!"):
        ours.as_functional_optim(fb.optim.LBFGS)
    with pytest.warns(DeprecationWarning, match="support for functional optimizers is deprecated"):
        functional(fb, "SGD")([fb.ones(1)])
    for lib in (torch, fb):
        with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
            quiet(functional(lib, "Adam"), [])
    with pytest.raises(NotImplementedError, match="warmup_num_iters"):
        quiet(functional(fb, "Adagrad"), [fb.ones(1)], warmup_num_iters=3.0)


TEXTS = [
    "worker0/cpu", "worker0/cuda:1", "rank:2/cpu", "rank:3/cuda:0", "cpu", "cuda:1", "worker0", "rank:1", "worker0/", "rank:x/cpu", "a/b/c", "",
    "/cpu", "rank:/cpu", "rank:1/cpu/3", "xx:2/cpu", 3,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_remote_devices(text: Any) -> None:
    said = []
    for lib in (torch, fb):
        kind = importlib.import_module(f"{lib.__name__}.distributed.remote_device")._remote_device
        try:
            made = kind(text)
            said.append(
                (
                    repr(made),
                    made.worker_name(),
                    made.rank(),
                    str(made.device()),
                    made == kind(text),
                    hash(made) == hash(kind(text)),
                )
            )
        except Exception as error:
            said.append((type(error), str(error)))
    assert said[1] == said[0]


def test_settings_of_files(tmp_path: Path) -> None:
    from flambeau.utils.serialization import config

    fb.save({"a": fb.ones(2)}, tmp_path / "a.pt")
    assert config.save.compute_crc32 is fb.serialization.get_crc32_options() is True
    with config.patch({"save.compute_crc32": False, "load.mmap": True}):
        assert not fb.serialization.get_crc32_options()
        assert fb.load(tmp_path / "a.pt")["a"].tolist() == [1, 1]
        with pytest.raises(ValueError, match="must be a file path in order to use the mmap argument"):
            fb.load(io.BytesIO((tmp_path / "a.pt").read_bytes()))
    assert config.load.mmap is False and fb.serialization.get_crc32_options()
    for change in (lambda: config.load.nothing, lambda: setattr(config.save, "nothing", 1)):
        with pytest.raises(
            AttributeError, match=r"^torch.utils.serialization.config.(load|save).nothing does not exist$"
        ):
            change()
    config.save.storage_alignment = 64
    with pytest.raises(NotImplementedError, match="storage_alignment=4096"):
        config.save.storage_alignment = 4096
