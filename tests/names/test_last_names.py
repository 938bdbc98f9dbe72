"""Names that PyTorch has and that can't be had in full: they are there, and say what they are."""

from __future__ import annotations

import io
import operator
import shutil
import subprocess

import pytest
import torch

import flambeau as fb


@pytest.mark.parametrize("original", [3, dict])
def test_what_is_no_function_has_no_substitute(original) -> None:
    texts = []
    for lib in (torch, fb):
        with pytest.raises(TypeError) as error:
            lib.compiler.substitute_in_graph(original)(lambda x: x)
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_a_substitute_is_kept_and_not_called() -> None:
    with pytest.raises(TypeError, match="Signature mismatch between"):
        fb.compiler.substitute_in_graph(len)(lambda x: x)

    def index(a, b, /):
        raise AssertionError("called")

    with pytest.warns(UserWarning, match="functions in C are not replaced"):
        assert fb.compiler.substitute_in_graph(operator.indexOf)(index) is index
    assert fb.compile(lambda x: x + operator.indexOf([1, 2, 3], 3))(fb.ones(1)).item() == 3.0


def test_what_is_refused_by_its_name() -> None:
    with pytest.raises(NotImplementedError, match="load_compiled_function"):
        fb.compiler.load_compiled_function(io.BytesIO(b""))
    for name in ("Logger", "Reducer", "ProcessGroupGloo"):
        kind = getattr(fb.distributed, name)
        assert not isinstance(object(), kind)
        with pytest.raises(NotImplementedError, match=f"torch.distributed.{name} is a part of libtorch"):
            kind()
    for ranks in ([], (0,)):
        with pytest.raises((ValueError, TypeError)):
            fb.distributed.shrink_group(ranks)


def test_collectives_have_a_name_in_a_profile() -> None:
    with fb.profiler.profile() as profile, fb.distributed.record_comm("gradients (layer 1)"):
        fb.ones(2).sum()
    assert "gradients (layer 1)" in {event.key for event in profile.key_averages()}


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake here")
def test_cmake_is_told_that_there_is_no_libtorch(tmp_path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(p NONE)\nfind_package(Torch REQUIRED)\n"
    )
    command = ["cmake", f"-DCMAKE_PREFIX_PATH={fb.utils.cmake_prefix_path}", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode and "flambeau has no libtorch" in " ".join(ran.stderr.split())
