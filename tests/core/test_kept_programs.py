"""Programs on the disk: another process computes the same without compiling, and nothing that is there can make it wrong."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax._src import compiler

import flambeau as fb
from flambeau.core.array import executables, first_calls
from flambeau.core.array.described import Untold, described
from flambeau.native.xla_options import QUICKLY, known
from flambeau.runtime import config, store
from support.process import SOURCE

kept = pytest.mark.skipif(not executables.KNOWN, reason="programs of operators are left to this JAX itself")
PROGRAM = """
import hashlib, jax
import flambeau as torch
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **more: compiled.append(event) if event.endswith("backend_compile_duration") else None)
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Flatten(), torch.nn.Linear(128, 5))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
x, y = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
for _ in range(2):
    loss = torch.nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
values = [*net.state_dict().values(), x[:, 1:, ::2] * 2.5, loss]
digest = hashlib.sha256(b"".join(v.detach().numpy().tobytes() for v in values)).hexdigest()
print(digest, len(compiled))
"""


def started(cache: Any, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCE, "JAX_PLATFORMS": "cpu", "FLAMBEAU_CACHE": str(cache)}
    environment |= {"FLAMBEAU_FIRST_CALLS": "0", **more}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM], env=environment, text=True, stdout=-1, stderr=-1
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, int]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and not err, err
    digest, compiled = out.split()
    return digest, int(compiled)


@kept
def test_another_process(tmp_path: Path) -> None:
    """Two that write at once, one that finds all, one that finds all damaged, one that may not write."""
    both = [started(tmp_path) for _ in range(2)]
    (first, _), (second, _) = map(ended, both)
    assert first == second
    entries = [path for path in (tmp_path / "programs").rglob("*") if path.is_file()]
    assert len(entries) > 10 and all(len(path.name) == 40 for path in entries)
    assert ended(started(tmp_path)) == (first, 0)
    for i, path in enumerate(entries):
        contents = path.read_bytes()
        path.write_bytes(contents[: len(contents) // 2] if i % 2 else contents[:-1] + bytes([contents[-1] ^ 1]))
    after, compiled = ended(started(tmp_path))
    assert after == first and compiled > 10
    (tmp_path / "file").write_text("")
    by_numpy, fewer = ended(started(tmp_path / "file" / "below", FLAMBEAU_FIRST_CALLS="1"))
    assert by_numpy == first and 5 < fewer < compiled  # what NumPy computes first is the same to the bit


@kept
def test_all_that_matters_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator, its static arguments, shapes, dtypes, layouts, weak types, the default dtype, JAX's settings, the kernels."""
    image = jax.device_put(np.zeros((2, 3, 4, 5), np.float32))
    turned = jax.device_put(image, jax.experimental.layout.Format(
        jax.experimental.layout.Layout((0, 2, 3, 1)), image.sharding))  # fmt: skip
    op = fb.flip.operator
    keys = [
        executables._key(op._identity((0, (4, dims, tuple))), (array,))
        for dims in ((0,), (1,), (True,), (0.0,))
        for array in (image, turned, image[0], image.astype(np.float64), 1, 1.0, True, np.zeros(3))
    ]
    keys.append(executables._key(fb.roll.operator._identity((0, (4, (0,), tuple))), (image,)))
    keys.append(executables._key(op._identity((0, (4, (0,), tuple))), (image, image)))
    known = functools.partial(executables._key, op._identity((0, (4, (0,), tuple))), (image,))
    assert known() == keys[0]
    with jax.default_matmul_precision("float32"):
        keys.append(known())
    fb.set_default_dtype(fb.float64)
    try:
        keys.append(known())
    finally:
        fb.set_default_dtype(fb.float32)
    with monkeypatch.context() as changed:
        changed.setattr(executables.native, "missing", lambda: ("flambeau_convolution",))
        keys.append(known())
    for name, value in (("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2"), ("FLAMBEAU_NATIVE", "0")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            changed.setattr(executables, "_surroundings", executables._surroundings.__wrapped__)
            keys.append(known())
    assert None not in keys and len(set(keys)) == len(keys)
    assert known() == keys[0]
    other = functools.partial(op._identity, (0, (4, object(), object)))
    assert executables._key(other(), (image,)) is None and executables._key(lambda x: x, (image,)) is None
    assert executables._key(op._identity((0,)), (object(),)) is None


def _made(number: int) -> Any:
    return lambda x: x + number


def test_descriptions() -> None:
    """Different values have different texts; of what is not known everywhere there is none."""
    values = [0, 0.0, -0.0, False, None, "0", b"0", (0,), [0], ((0,), 0), (0, (0,)), slice(0, 1), 1j, ..., np.dtype("f4"), np.float32(0),
              np.float64(0), float("nan"), np.sin, jax.numpy.sin, jax.lax.sin, fb.Size((0,)), int, np.int32,
              fb.core.dispatch.promotion.fit, functools.partial(np.sin, 1), functools.partial(np.sin, out=1)]  # fmt: skip
    texts = [described(value) for value in values]
    assert len(set(texts)) == len(texts) and texts == [described(value) for value in values]
    for value in (object(), {}, {1}, fb.ones(1), _made(1), lambda: 0, np.zeros(1), functools.partial(_made, 1)):
        with pytest.raises(Untold):
            described(value)


def test_functions_are_what_they_close_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.core.array import described as module

    monkeypatch.setattr(module, "_home", lambda name: str(name))
    assert described(_made(1)) == described(_made(1)) != described(_made(2))
    two = [lambda x: x + 1, lambda x: x + 2]
    assert described(two[0]) != described(two[1])

    def again(n: int) -> Any:
        return again(n - 1) if n else 0

    assert described(again) == described(again)


def test_a_store_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, in use ones stay; what others have begun and left goes; other files are let be."""
    monkeypatch.setattr(store, "_LOOK", 1)
    kept = store.Store(tmp_path / "a", 16 * 10_000)
    keys = [f"{n % 2:x}{n:039x}" for n in range(60)]
    (tmp_path / "a" / "0").mkdir(parents=True)
    other, begun = tmp_path / "a" / "0" / "notes.txt", tmp_path / "a" / "0" / "abc.new"
    for path in (other, begun):
        path.write_text("mine")
        os.utime(path, (1, 1))
    for n, key in enumerate(keys):
        kept.keep(key, bytes([n]) * 1000)
        os.utime(kept._path(key), (1000 + n, 1000 + n))
        if kept.find(keys[0]) is not None:
            assert os.stat(kept._path(keys[0])).st_mtime > 1e6  # marked as used
    found = [n for n, key in enumerate(keys) if kept.find(key) is not None]
    assert 12 <= len(found) <= 22 and found[0] == 0 and found[1:] == list(range(60 - len(found) + 1, 60))
    assert all(kept.find(keys[n]) == bytes([n]) * 1000 for n in found)
    assert other.exists() and not begun.exists()
    assert kept.find("f" * 40) is None
    os.rename(kept._path(keys[59]), kept._path(keys[1]))  # under another key than its own
    assert kept.find(keys[1]) is None and not kept._path(keys[1]).exists()


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a home there is no folder; the room is said in MiB."""
    for name in ("FLAMBEAU_CACHE", "FLAMBEAU_CACHE_MB", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as changed:
        changed.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
        assert config.cache_folder() is None
    assert config.cache_limit() == 512 << 20
    monkeypatch.setenv("FLAMBEAU_CACHE_MB", "7")
    assert config.cache_limit() == 7 << 20
    monkeypatch.setenv("FLAMBEAU_CACHE_MB", "much")
    with pytest.raises(ValueError, match="FLAMBEAU_CACHE_MB"):
        config.cache_limit()


def test_a_program_of_which_parts_are_missing_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Broken:
        def unsafe_call(self, *arrays: object) -> None:
            raise jax.errors.JaxRuntimeError("NOT_FOUND: Function f not found (type id: 1)")

    def load(key: str) -> tuple[Broken, None, dict[str, object]]:
        asked.append(key)
        return Broken(), None, {}

    monkeypatch.setattr(executables, "_load", load)
    run = executables.jit(lambda x: x + 1, ("parts", "missing"))
    assert run(np.ones(2)).tolist() == run(np.ones(2)).tolist() == [2, 2]
    assert asked or executables.store() is None


@kept
def test_small_programs_of_operators_are_compiled_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(x: Any) -> Any:
        return jax.jit(lambda x: jax.lax.fori_loop(0, 9, lambda i, x: x * 2, x))(x)

    quick = known(QUICKLY)  # finding them out compiles
    options = []
    compile_or_get_cached = compiler.compile_or_get_cached

    def compiled(backend: Any, module: Any, devices: Any, asked: Any, *rest: Any, **more: Any) -> Any:
        options.append(dict(asked.env_option_overrides))
        return compile_or_get_cached(backend, module, devices, asked, *rest, **more)

    monkeypatch.setattr(compiler, "compile_or_get_cached", compiled)
    monkeypatch.setattr(executables, "store", lambda: None)
    monkeypatch.setattr(first_calls, "SERVES", False)
    double = executables.jit(lambda x: x * 2, ("small", "double"), quickly=True, inline=True)
    for function, x, quickly in (
        (double, np.ones(1024), True),
        (double, np.ones(1025), False),
        (jax.jit(lambda x: double(x) + 1), np.ones(4), False),  # it is a part there
        (executables.jit(lambda x: x + x, ("small", "sum")), np.ones(4), False),
        (executables.jit(lambda x: (x[:, None] * x).sum(), ("small", "table"), quickly=True), np.ones(64), False),
        (executables.jit(loop, ("small", "loop"), quickly=True), np.ones(4), False),
    ):
        options.clear()
        function(x)
        assert options == [quick if quickly else {}]
