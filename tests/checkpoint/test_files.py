"""Saving replaces a file as a whole: after a kill, a full disk or Ctrl-C the old one is still there."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import flambeau as fb
from flambeau import checkpoint
from flambeau.runtime import files

OLD = b"what stood there"


def save(value: float, path) -> None:
    checkpoint.save({"x": fb.full((1000,), value)}, path)


def saved(path) -> float:
    return torch.load(path, weights_only=True)["x"][0].item()


def writers():
    return {"save": save, "safetensors": lambda value, path: checkpoint.save_safetensors({"x": fb.ones(1000)}, path)}


@pytest.fixture
def limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["save", "safetensors"])
@pytest.mark.parametrize("size", [0, 1, 70, 1000, 3999, 4000])
def test_a_full_disk_leaves_the_old_file(kind, size, tmp_path, limit):
    path = tmp_path / "x.pt"
    path.write_bytes(OLD)
    limit(size)
    with pytest.raises(RuntimeError, match="unchanged") as caught:
        writers()[kind](1.0, path)
    limit(resource.RLIM_INFINITY)
    assert isinstance(caught.value, OSError) and caught.value.errno == errno.EFBIG
    assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.filterwarnings("ignore:torch.jit. there is no TorchScript")
def test_programs_on_a_full_disk_leave_the_old_file(tmp_path, limit):
    module, x = fb.nn.Linear(2, 2), fb.ones(1, 2)
    path = tmp_path / "x"
    program, exported = fb.export.export(module, (x,)), fb.export(module, x)
    traced = fb.jit.trace(module, x)
    for write in (
        lambda: fb.jit.save(traced, path),
        lambda: fb.export.save(program, path),
        lambda: exported.save(path),
        lambda: fb.onnx.export(module, (x,), path),
    ):
        path.write_bytes(OLD)
        limit(70)
        with pytest.raises(RuntimeError, match="unchanged"):
            write()
        limit(resource.RLIM_INFINITY)
        assert path.read_bytes() == OLD and os.listdir(tmp_path) == ["x"]
        write()
        assert path.stat().st_size > 70


class _Stopping:
    """A file that stops the save after some bytes."""

    def __init__(self, file, after: int, error: BaseException):
        self.file, self.left, self.error = file, after, error

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if len(data) > self.left:
            self.file.write(bytes(data[: self.left]))
            raise self.error
        self.left -= len(data)
        return self.file.write(data)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), MemoryError(), SystemExit(1)]
)
def test_whatever_stops_a_save_leaves_the_old_file(error, named, tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    save(1.0, path)
    begin = files._begin

    def stopping(folder, beside):
        if named:
            monkeypatch.setattr(os, "O_TMPFILE", None, raising=False)
        file, has_name = begin(folder, beside)
        return _Stopping(file, after, error), has_name

    monkeypatch.setattr(files, "_begin", stopping)
    for after in range(0, path.stat().st_size, 97):  # noqa: B007 (`stopping` reads it)
        with pytest.raises(RuntimeError if isinstance(error, OSError) else type(error)):
            save(2.0, path)
        assert os.listdir(tmp_path) == ["x.pt"]
    monkeypatch.undo()
    assert saved(path) == 1.0
    save(3.0, path)
    assert saved(path) == 3.0


def test_an_object_that_cannot_be_pickled_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    save(1.0, path)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save([fb.ones(3), lambda: 0], path)
    assert saved(path) == 1.0 and os.listdir(tmp_path) == ["x.pt"]


SAVER = """
import sys, itertools
import flambeau as fb
path = sys.argv[1]
big = fb.zeros(300_000)
for i in itertools.count(1):
    big.fill_(float(i))
    fb.save({"x": big, "i": i}, path)
    fb.checkpoint.save_safetensors({"x": big}, path + ".safetensors")
    if i == 1:
        print("begun", flush=True)
"""


def test_a_killed_save_leaves_a_whole_file(tmp_path):
    from safetensors.torch import load_file

    generator = random.Random(0)
    path = tmp_path / "x.pt"
    for _ in range(4):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE)
        assert saver.stdout.readline() == b"begun\n"
        time.sleep(generator.uniform(0, 0.1))
        saver.send_signal(signal.SIGKILL)
        saver.wait()
        saver.stdout.close()
        found = torch.load(path, weights_only=True)
        assert (found["x"] == found["i"]).all()
        x = load_file(f"{path}.safetensors")["x"]
        assert x[0] >= 1 and (x == x[0]).all()


# --- what kind of file it is ------------------------------------------------------------------------------------------


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_are_those_of_the_umask_or_of_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    before = os.umask(0o027)
    try:
        save(1.0, path)
        assert mode(path) == 0o640
        path.chmod(0o604)
        save(2.0, path)
        assert mode(path) == 0o604
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "x.pt", tmp_path / "latest.pt"
    link.symlink_to("real/x.pt")  # the target is not there yet
    for value in (1.0, 2.0):
        save(value, link)
        assert link.is_symlink() and os.readlink(link) == "real/x.pt" and not target.is_symlink()
        assert saved(target) == value
    folder = tmp_path / "linked"
    folder.symlink_to(tmp_path / "real")
    save(3.0, folder / "x.pt")
    assert saved(target) == 3.0 and folder.is_symlink()
    assert sorted(os.listdir(tmp_path / "real")) == ["x.pt"]


def test_devices_and_pipes_are_written_directly(tmp_path):
    about = os.stat("/dev/null")
    save(1.0, "/dev/null")
    assert os.stat("/dev/null").st_ino == about.st_ino and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(RuntimeError, match="No space left"):
        save(1.0, "/dev/full")
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    save(4.0, pipe)
    reader.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode) and saved(io.BytesIO(read[0])) == 4.0
    with open(tmp_path / "held.pt", "w+b") as file:
        save(5.0, f"/dev/fd/{file.fileno()}")
        assert saved(file) == 5.0


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_that_cannot_be_written(code, tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    save(1.0, path)
    inode = path.stat().st_ino

    def forbidden(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "_begin", forbidden)
    save(2.0, path)
    assert saved(path) == 2.0 and path.stat().st_ino == inode
    loaded = checkpoint.load(path, mmap=True)
    with pytest.raises(RuntimeError, match="tensors lie in this file"):
        save(3.0, path)
    assert loaded["x"].sum().item() == 2000.0
    del loaded
    save(4.0, path)
    assert saved(path) == 4.0


def test_a_file_that_cannot_be_renamed_over(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    save(1.0, path)

    def busy(*args):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    save(2.0, path)
    assert saved(path) == 2.0 and os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written(tmp_path):
    path = tmp_path / "x.pt"
    save(1.0, path)
    path.chmod(0o444)
    with pytest.raises(RuntimeError, match="Permission denied"):
        save(2.0, path)
    assert saved(path) == 1.0


def test_paths_that_are_no_file(tmp_path):
    for path, text in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "x.pt", "Parent directory .* does not exist"),
    ):
        with pytest.raises(RuntimeError, match=text):
            save(1.0, path)
    with pytest.raises(RuntimeError, match="File name too long"):
        save(1.0, tmp_path / ("x" * 300))
    save(1.0, tmp_path / ("x" * 250))
    assert saved(tmp_path / ("x" * 250)) == 1.0


# --- files that are open ----------------------------------------------------------------------------------------------


class _Short(io.RawIOBase):
    def __init__(self, at_most):
        self.data, self.at_most = bytearray(), at_most

    def writable(self):
        return True

    def write(self, data):
        piece = bytes(data[: self.at_most])
        self.data += piece
        return len(piece)


class _ShortToo:
    """The same, as a class of the user's own."""

    def __init__(self, at_most):
        self.data, self.at_most = bytearray(), at_most

    write = _Short.write

    def flush(self):
        pass


@pytest.mark.parametrize("kind", [_Short, _ShortToo])
@pytest.mark.parametrize("zipped", [True, False])
def test_short_writes_are_completed(kind, zipped):
    whole = io.BytesIO()
    checkpoint.save({"x": fb.arange(1000.0)}, whole, _use_new_zipfile_serialization=zipped)
    for at_most in (1, 7, 500, 10**6):
        file = kind(at_most)
        checkpoint.save({"x": fb.arange(1000.0)}, file, _use_new_zipfile_serialization=zipped)
        assert file.data == whole.getvalue()


@pytest.mark.parametrize("kind", [_Short, _ShortToo])
def test_writes_of_nothing_raise(kind):
    with pytest.raises(OSError, match="wrote 0 of"):
        checkpoint.save(fb.ones(3), kind(0))


def test_a_file_that_would_block_raises(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with (
        open(os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0) as file,
        pytest.raises(BlockingIOError),
    ):
        checkpoint.save(fb.ones(100_000), file)
    os.close(reader)


def test_writes_that_tell_nothing_are_taken_as_whole():
    class Quiet:
        def __init__(self):
            self.data = b""

        def write(self, data):
            self.data += bytes(data)

    file = Quiet()
    save(6.0, file)
    assert saved(io.BytesIO(file.data)) == 6.0


# --- files that are mapped --------------------------------------------------------------------------------------------


def test_saving_over_the_file_that_a_model_maps(tmp_path):
    path = tmp_path / "x.pt"
    weights = {f"layer{i}": fb.arange(10_000.0 * (i + 1)) for i in range(5)}
    checkpoint.save(weights, path)
    model = checkpoint.load(path, mmap=True)
    for _ in range(3):
        checkpoint.save({"small": fb.ones(1)}, path)
        checkpoint.save(model, path)
        again = checkpoint.load(path, mmap=True)
    for name, value in weights.items():
        np.testing.assert_array_equal(model[name].numpy(), value.numpy())
        np.testing.assert_array_equal(again[name].numpy(), value.numpy())
