"""`torch.serialization`: settings, places of storages, and names."""

from __future__ import annotations

import io
import mmap
import zipfile
from typing import Any

import pytest
import torch

import flambeau as fb
from flambeau import serialization as S
from flambeau.checkpoint import settings as own


def test_skipped_data_is_zeros() -> None:
    for lib in (fb, torch):
        stream = io.BytesIO()
        with lib.serialization.skip_data():
            lib.save({"w": lib.ones(1000)}, stream)
            stream.seek(0)
            assert lib.load(stream)["w"].shape == (1000,)
        whole = io.BytesIO()
        lib.save({"w": lib.ones(1000)}, whole)
        assert len(stream.getvalue()) == len(whole.getvalue())
    stream = io.BytesIO()
    with S.skip_data():
        fb.save(fb.ones(10), stream)
    stream.seek(0)
    assert fb.load(stream).tolist() == [0.0] * 10
    fb.save(fb.ones(10), stream := io.BytesIO())
    stream.seek(0)
    with S.skip_data():
        assert fb.load(stream).tolist() == [0.0] * 10


@pytest.mark.parametrize("options", [{"bad": 3}, {"fix_imports": True}, {"encoding": "ascii"}])
def test_options_of_pickle_that_nobody_reads(options: dict[str, Any]) -> None:
    seen = []
    for lib in (fb, torch):
        lib.save({"w": lib.ones(1)}, stream := io.BytesIO())
        stream.seek(0)
        with pytest.warns(UserWarning, match="pickle_load_args only works if `weights_only=False`"):
            try:
                seen.append(lib.load(stream, weights_only=True, **options)["w"].tolist())
            except TypeError as error:
                seen.append(str(error))
    assert seen[0] == seen[1]


def test_registered_places(monkeypatch: Any) -> None:
    monkeypatch.setattr(own, "_registered", [])
    S.register_package(
        5, lambda s: "shelf" if s.nbytes() == 12 else None, lambda s, place: s.cpu() if place == "shelf" else None
    )
    assert S.location_tag(fb.ones(3).untyped_storage()) == "shelf"
    assert S.location_tag(fb.ones(2).untyped_storage()) == "cpu"
    stream = io.BytesIO()
    fb.save(fb.ones(3), stream)
    assert b"shelf" in stream.getvalue()
    stream.seek(0)
    assert fb.load(stream).tolist() == [1.0] * 3
    monkeypatch.setattr(own, "_registered", [])
    stream.seek(0)
    with pytest.raises(RuntimeError, match="don't know how to restore"):
        fb.load(stream)
    with pytest.raises(
        RuntimeError, match=r"don't know how to restore data location of .*UntypedStorage \(tagged with shelf\)"
    ):
        S.default_restore_location(fb.ones(1).untyped_storage(), "shelf")


def test_settings() -> None:
    for lib in (fb, torch):
        names = lib.serialization
        assert names.get_default_load_endianness() is None and names.get_crc32_options() is True
        assert names.get_default_mmap_options() == mmap.MAP_PRIVATE
        with pytest.raises(TypeError, match="Invalid argument type in function set_default_load_endianness"):
            names.set_default_load_endianness(3)
        with pytest.raises(ValueError, match=r"expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got 7"):
            names.set_default_mmap_options(7)
        with pytest.raises(RuntimeError, match=r"torch.cuda.is_available\(\) is False"):
            names.validate_cuda_device("cuda:0")
        assert names.check_module_version_greater_or_equal(lib, (2, 1))
        assert names.DEFAULT_PROTOCOL == 2 and names.MAGIC_NUMBER == torch.serialization.MAGIC_NUMBER
    with pytest.raises(NotImplementedError, match="MAP_SHARED"):
        S.set_default_mmap_options(mmap.MAP_SHARED)
    with S.set_default_mmap_options(mmap.MAP_PRIVATE):
        assert S.get_default_mmap_options() == mmap.MAP_PRIVATE


def test_files_that_do_not_say_their_byte_order() -> None:
    whole, stream = io.BytesIO(), io.BytesIO()
    torch.save(torch.tensor([1], dtype=torch.int16), whole)
    with zipfile.ZipFile(whole) as told, zipfile.ZipFile(stream, "w") as silent:
        for name in told.namelist():
            if not name.endswith("byteorder"):
                silent.writestr(name, told.read(name))
    found = []
    for lib in (fb, torch):
        names = lib.serialization
        for order in (None, names.LoadEndianness.LITTLE, names.LoadEndianness.NATIVE, names.LoadEndianness.BIG):
            names.set_default_load_endianness(order)
            stream.seek(0)
            found.append(lib.load(stream).item())
        names.set_default_load_endianness(None)
    assert found[:4] == found[4:] == [1, 1, 1, 256]


def test_sizes_and_threads() -> None:
    assert [getattr(fb.serialization, f"{n}_SIZE") for n in ("SHORT", "INT", "LONG")] == [2, 4, 4]
    assert fb.autograd.is_multithreading_enabled()
    with fb.autograd.set_multithreading_enabled(False):
        assert not fb.autograd.is_multithreading_enabled()
    assert fb.autograd.is_multithreading_enabled()
